//! A still as DICOM has it: a VL Endoscopic Image (PS3.3 A.32.1), and what was drawn on it as a Segmentation (PS3.3 A.51).
//!
//! Who the patient is, is not known here: those attributes are empty, and an archive or a gateway fills them in. Both objects have the
//! same study; the segmentation refers to the image.

use std::io::Write;

use anyhow::Result;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use jiff::Zoned;

use crate::fault::Fault;
use crate::frame::Frame;
use crate::identity::Program;

/// Of the software that wrote a file.
const IMPLEMENTATION: &str = "2.25.201938471562093846571029384756102938";
const IMPLEMENTATION_NAME: &str = "POLYP_EDGE";

/// Names of the objects of one still.
pub(super) struct Names {
    study: String,
    image_series: String,
    image: String,
    segmentation_series: String,
    segmentation: String,
    dimensions: String,
}

impl Names {
    /// Unlike any others: UUIDs as PS3.5 B.2 writes them.
    pub(super) fn new() -> Names {
        let uid = || format!("2.25.{}", rand::random::<u128>());
        Names {
            study: uid(),
            image_series: uid(),
            image: uid(),
            segmentation_series: uid(),
            segmentation: uid(),
            dimensions: uid(),
        }
    }
}

/// What both objects say.
pub(super) struct About<'a> {
    pub names: &'a Names,
    /// When the still was shown, in the cart's time zone.
    pub time: &'a Zoned,
    pub program: &'a Program,
    /// Which model drew, in words.
    pub model: &'a str,
    /// There was a border, and what lay beside the endoscope's picture was made black.
    pub is_blackened: bool,
}

/// Writes the picture.
///
/// # Errors
/// If it cannot be written.
pub(super) fn image(about: &About<'_>, picture: &Frame, file: impl Write) -> Result<()> {
    let mut object = Object::new();
    about.patient_and_study(&mut object);
    about.series(&mut object, &about.names.image_series, "ES", "1");
    about.instance(&mut object, uids::VL_ENDOSCOPIC_IMAGE_STORAGE, &about.names.image);
    object.texts(tags::IMAGE_TYPE, VR::CS, &["ORIGINAL", "PRIMARY"]);
    object.sequence(tags::ACQUISITION_CONTEXT_SEQUENCE, Vec::new());
    about.size(&mut object, picture.width_px(), picture.height_px());
    object.number(tags::SAMPLES_PER_PIXEL, 3);
    object.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB");
    object.number(tags::PLANAR_CONFIGURATION, 0);
    object.depth(8);
    // Text that lies within the endoscope's own picture cannot be told from it.
    object.text(tags::BURNED_IN_ANNOTATION, VR::CS, if about.is_blackened { "NO" } else { "YES" });
    object.text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00");
    object.bytes(tags::PIXEL_DATA, picture.pixels().to_vec());
    object.write(uids::VL_ENDOSCOPIC_IMAGE_STORAGE, &about.names.image, file)
}

/// Writes what was drawn, a segment for each region: its mask is `[height, width]`, true inside.
///
/// # Errors
/// If it cannot be written.
pub(super) fn segmentation(
    about: &About<'_>,
    (width, height): (usize, usize),
    masks: &[(String, Vec<bool>)],
    file: impl Write,
) -> Result<()> {
    let mut object = Object::new();
    about.patient_and_study(&mut object);
    about.series(&mut object, &about.names.segmentation_series, "SEG", "2");
    about.instance(&mut object, uids::SEGMENTATION_STORAGE, &about.names.segmentation);
    object.texts(tags::IMAGE_TYPE, VR::CS, &["DERIVED", "PRIMARY"]);
    object.text(tags::CONTENT_LABEL, VR::CS, "POLYPS");
    object.text(tags::CONTENT_DESCRIPTION, VR::LO, "What was outlined on the monitor");
    object.text(tags::CONTENT_CREATOR_NAME, VR::PN, "polyp-edge^program");
    about.size(&mut object, width, height);
    object.number(tags::SAMPLES_PER_PIXEL, 1);
    object.text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2");
    object.depth(1);
    object.text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00");
    object.text(tags::SEGMENTATION_TYPE, VR::CS, "BINARY");
    object.text(tags::NUMBER_OF_FRAMES, VR::IS, &masks.len().to_string());
    let algorithm = format!("polyp-edge {}, {}", about.program.version, about.model);
    let segments = masks.iter().enumerate().map(|(index, (label, _))| segment(index, label, &algorithm));
    object.sequence(tags::SEGMENT_SEQUENCE, segments.collect());
    about.dimensions(&mut object);
    object.sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![Object::new()]);
    let frames = (0..masks.len()).map(|index| about.frame(index));
    object.sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames.collect());
    let instance = about.referenced_image();
    let mut series = Object::new();
    series.text(tags::SERIES_INSTANCE_UID, VR::UI, &about.names.image_series);
    series.sequence(tags::REFERENCED_INSTANCE_SEQUENCE, vec![instance]);
    object.sequence(tags::REFERENCED_SERIES_SEQUENCE, vec![series]);
    object.bytes(tags::PIXEL_DATA, packed(masks.iter().flat_map(|(_, mask)| mask)));
    object.write(uids::SEGMENTATION_STORAGE, &about.names.segmentation, file)
}

/// One bit a pixel, the first in the lowest; frames follow one another without a gap (PS3.5 8.1.1).
fn packed<'a>(pixels: impl Iterator<Item = &'a bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, pixel) in pixels.enumerate() {
        if index % 8 == 0 {
            bytes.push(0);
        }
        if let Some(byte) = bytes.last_mut() {
            *byte |= u8::from(*pixel) << (index % 8);
        }
    }
    bytes
}

fn segment(index: usize, label: &str, algorithm: &str) -> Object {
    let mut segment = Object::new();
    segment.number(tags::SEGMENT_NUMBER, number(index));
    segment.text(tags::SEGMENT_LABEL, VR::LO, label);
    segment.text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC");
    // At most 64 letters.
    let name: String = algorithm.chars().take(64).collect();
    segment.text(tags::SEGMENT_ALGORITHM_NAME, VR::LO, &name);
    let category = code("49755003", "SCT", "Morphologically Abnormal Structure");
    segment.sequence(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, vec![category]);
    let kind = code("68496003", "SCT", "Polyp of colon");
    segment.sequence(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![kind]);
    segment
}

/// Counted from 1.
fn number(index: usize) -> u16 {
    u16::try_from(index + 1).unwrap_or(u16::MAX)
}

fn code(value: &str, scheme: &str, meaning: &str) -> Object {
    let mut code = Object::new();
    code.text(tags::CODE_VALUE, VR::SH, value);
    code.text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme);
    code.text(tags::CODE_MEANING, VR::LO, meaning);
    code
}

impl About<'_> {
    fn date(&self) -> String {
        self.time.strftime("%Y%m%d").to_string()
    }

    fn clock(&self) -> String {
        self.time.strftime("%H%M%S.%6f").to_string()
    }

    fn patient_and_study(&self, object: &mut Object) {
        // Not known here.
        object.text(tags::PATIENT_NAME, VR::PN, "");
        object.text(tags::PATIENT_ID, VR::LO, "");
        object.text(tags::PATIENT_BIRTH_DATE, VR::DA, "");
        object.text(tags::PATIENT_SEX, VR::CS, "");
        object.text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, "");
        object.text(tags::STUDY_ID, VR::SH, "");
        object.text(tags::ACCESSION_NUMBER, VR::SH, "");
        object.text(tags::STUDY_INSTANCE_UID, VR::UI, &self.names.study);
        object.text(tags::STUDY_DATE, VR::DA, &self.date());
        object.text(tags::STUDY_TIME, VR::TM, &self.clock());
    }

    fn series(&self, object: &mut Object, uid: &str, modality: &str, number: &str) {
        object.text(tags::MODALITY, VR::CS, modality);
        object.text(tags::SERIES_INSTANCE_UID, VR::UI, uid);
        object.text(tags::SERIES_NUMBER, VR::IS, number);
        object.text(tags::SERIES_DATE, VR::DA, &self.date());
        object.text(tags::SERIES_TIME, VR::TM, &self.clock());
        object.text(tags::MANUFACTURER, VR::LO, "polyp-edge");
        object.text(tags::MANUFACTURER_MODEL_NAME, VR::LO, "polyp-edge");
        object.text(tags::DEVICE_SERIAL_NUMBER, VR::LO, &self.program.host);
        object.text(tags::SOFTWARE_VERSIONS, VR::LO, self.program.version);
    }

    fn instance(&self, object: &mut Object, class: &str, uid: &str) {
        object.text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192");
        object.text(tags::SOP_CLASS_UID, VR::UI, class);
        object.text(tags::SOP_INSTANCE_UID, VR::UI, uid);
        object.text(tags::INSTANCE_NUMBER, VR::IS, "1");
        object.text(tags::PATIENT_ORIENTATION, VR::CS, "");
        object.text(tags::CONTENT_DATE, VR::DA, &self.date());
        object.text(tags::CONTENT_TIME, VR::TM, &self.clock());
        object.text(
            tags::ACQUISITION_DATE_TIME,
            VR::DT,
            &self.time.strftime("%Y%m%d%H%M%S.%6f%z").to_string(),
        );
        object.text(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, &self.time.strftime("%z").to_string());
    }

    fn size(&self, object: &mut Object, width: usize, height: usize) {
        // A picture's sides are 4096 pixels at most.
        object.number(tags::COLUMNS, width as u16);
        object.number(tags::ROWS, height as u16);
    }

    fn dimensions(&self, object: &mut Object) {
        let mut organization = Object::new();
        organization.text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, &self.names.dimensions);
        object.sequence(tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![organization]);
        let mut index = Object::new();
        index.text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, &self.names.dimensions);
        index.tag(tags::DIMENSION_INDEX_POINTER, tags::REFERENCED_SEGMENT_NUMBER);
        index.tag(tags::FUNCTIONAL_GROUP_POINTER, tags::SEGMENT_IDENTIFICATION_SEQUENCE);
        index.text(tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, "Segment Number");
        object.sequence(tags::DIMENSION_INDEX_SEQUENCE, vec![index]);
    }

    fn referenced_image(&self) -> Object {
        let mut image = Object::new();
        image.text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, uids::VL_ENDOSCOPIC_IMAGE_STORAGE);
        image.text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, &self.names.image);
        image
    }

    fn frame(&self, index: usize) -> Object {
        let mut content = Object::new();
        content.long(tags::DIMENSION_INDEX_VALUES, u32::from(number(index)));
        let mut identification = Object::new();
        identification.number(tags::REFERENCED_SEGMENT_NUMBER, number(index));
        let mut source = self.referenced_image();
        let purpose = code("121322", "DCM", "Source image for image processing operation");
        source.sequence(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose]);
        source.text(tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES");
        let mut derivation = Object::new();
        derivation.sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![source]);
        derivation.sequence(tags::DERIVATION_CODE_SEQUENCE, vec![code("113076", "DCM", "Segmentation")]);
        let mut frame = Object::new();
        frame.sequence(tags::FRAME_CONTENT_SEQUENCE, vec![content]);
        frame.sequence(tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![identification]);
        frame.sequence(tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation]);
        frame
    }
}

/// An object, or an item of a sequence, while it is made.
struct Object(InMemDicomObject);

impl Object {
    fn new() -> Object {
        Object(InMemDicomObject::new_empty())
    }

    fn text(&mut self, tag: Tag, vr: VR, text: &str) {
        let value = if text.is_empty() { PrimitiveValue::Empty } else { PrimitiveValue::from(text) };
        self.0.put(DataElement::new(tag, vr, value));
    }

    fn texts(&mut self, tag: Tag, vr: VR, texts: &[&str]) {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        self.0.put(DataElement::new(tag, vr, PrimitiveValue::Strs(texts)));
    }

    fn number(&mut self, tag: Tag, number: u16) {
        self.0.put(DataElement::new(tag, VR::US, PrimitiveValue::from(number)));
    }

    fn long(&mut self, tag: Tag, number: u32) {
        self.0.put(DataElement::new(tag, VR::UL, PrimitiveValue::from(number)));
    }

    fn tag(&mut self, tag: Tag, value: Tag) {
        self.0.put(DataElement::new(tag, VR::AT, PrimitiveValue::Tags([value].into_iter().collect())));
    }

    fn bytes(&mut self, tag: Tag, mut bytes: Vec<u8>) {
        // Values have an even length.
        bytes.resize(bytes.len().next_multiple_of(2), 0);
        self.0.put(DataElement::new(tag, VR::OB, PrimitiveValue::from(bytes)));
    }

    fn sequence(&mut self, tag: Tag, items: Vec<Object>) {
        let items: Vec<InMemDicomObject> = items.into_iter().map(|item| item.0).collect();
        self.0.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
    }

    fn depth(&mut self, bits: u16) {
        self.number(tags::BITS_ALLOCATED, bits);
        self.number(tags::BITS_STORED, bits);
        self.number(tags::HIGH_BIT, bits - 1);
        self.number(tags::PIXEL_REPRESENTATION, 0);
    }

    fn write(self, class: &str, uid: &str, file: impl Write) -> Result<()> {
        let cannot =
            |error: &dyn std::fmt::Display| Fault::io(format!("cannot write the DICOM object: {error}"));
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
            .media_storage_sop_class_uid(class)
            .media_storage_sop_instance_uid(uid)
            .implementation_class_uid(IMPLEMENTATION)
            .implementation_version_name(IMPLEMENTATION_NAME);
        let object = self.0.with_meta(meta).map_err(|error| cannot(&error))?;
        object.write_all(file).map_err(|error| cannot(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::packed;

    #[test]
    fn bits_follow_one_another_from_the_lowest() {
        let pixels = [true, false, false, true, false, false, false, true, true, false];
        assert_eq!(packed(pixels.iter()), [0b1000_1001, 0b1]);
        assert!(packed([].iter()).is_empty());
    }
}
