#!/usr/bin/env python3
"""Reads a picture that was kept as pydicom and highdicom read it, and says what they found as JSON; an error if anything differs.

    read_dicom.py FOLDER
"""
import json
import sys
from pathlib import Path

import highdicom
import numpy
import pydicom
from PIL import Image

folder = Path(sys.argv[1])
image = pydicom.dcmread(folder / "picture.dcm")
assert image.SOPClassUID == pydicom.uid.VLEndoscopicImageStorage
picture = numpy.asarray(Image.open(folder / "picture.png").convert("RGB"))
assert (image.pixel_array == picture).all(), "the DICOM image is another picture than the PNG"
segmentation = highdicom.seg.segread(folder / "segmentation.dcm")
masks = segmentation.get_pixels_by_source_instance([image.SOPInstanceUID])[0]
kinds = {segmentation.get_segment_description(number).segmented_property_type.meaning for number in segmentation.segment_numbers}
print(json.dumps({
    "patient": f"{image.PatientName}{image.PatientID}",
    "same_study": image.StudyInstanceUID == segmentation.StudyInstanceUID,
    "kinds": sorted(kinds),
    "areas": [int(masks[..., index].sum()) for index in range(masks.shape[-1])],
    "burned_in": image.BurnedInAnnotation,
}))
