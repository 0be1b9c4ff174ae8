//! Lists of `dataset/stem` lines, and the images and masks that they name.
//!
//! Under the data folder, `dataset/images/stem.{jpg,png}` is a picture and `dataset/masks/stem.png` its mask. A data set
//! without a `masks` folder holds frames without a polyp.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use polyp_edge::capture::replay::folder::read_image;
use polyp_edge::fault::Fault;
use polyp_edge::frame::Frame;

use crate::data::decode::undecodable;
use crate::data::mask::Mask;
use crate::data::usable;
use crate::files;

/// A picture with its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// `dataset/stem`
    pub name: String,
    /// The picture's file.
    pub image: PathBuf,
    /// `None`: no polyp on it.
    pub mask: Option<PathBuf>,
}

/// The data folder: `POLYP_DATA`, else `../shared/data` beside the repository. A missing one is exit code 74.
pub fn data_folder() -> anyhow::Result<PathBuf> {
    let folder = match std::env::var_os("POLYP_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    };
    if folder.is_dir() {
        Ok(folder)
    } else {
        Err(Fault::io(format!("no data folder at {}; set POLYP_DATA to it", folder.display())))
    }
}

/// Reads a list file. A bare name such as `test-kvasir` or `test-kvasir.txt` that is no file here means the one in
/// `splits/` of the data folder. Lines that name no sample, missing files and lines that stand there twice are one error
/// for all of them.
pub fn read_list(list: &Path, data: &Path) -> anyhow::Result<Vec<Sample>> {
    read(list, data, sample)
}

/// As [`read_list`], for frames whose masks are not looked at: they need none.
pub fn read_unlabelled(list: &Path, data: &Path) -> anyhow::Result<Vec<Sample>> {
    read(list, data, |name, data| Ok(Sample { mask: None, ..picture(name, data)? }))
}

fn read(
    list: &Path,
    data: &Path,
    sample: impl Fn(&str, &Path) -> anyhow::Result<Sample>,
) -> anyhow::Result<Vec<Sample>> {
    let split = data.join("splits").join(list);
    let candidates = [list.to_path_buf(), split.clone(), split.with_extension("txt")];
    let path = candidates.iter().find(|path| path.is_file()).ok_or_else(|| {
        Fault::io(format!(
            "no list {}, neither in the working directory nor in {}",
            list.display(),
            data.join("splits").display()
        ))
    })?;
    let text = files::read_text(path)?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines: Vec<(usize, &str)> =
        lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
    let mut seen = HashMap::new();
    let samples = lines.into_iter().map(|(number, name)| {
        let sample = match seen.insert(name, number) {
            Some(before) => Err(Fault::data(format!("{name} is listed twice, first on line {before}"))),
            None => sample(name, data),
        };
        sample.map_err(|error| error.context(format!("line {number}")))
    });
    let samples =
        usable::all(samples.collect()).map_err(|error| error.context(path.display().to_string()))?;
    if samples.is_empty() {
        Err(Fault::data(format!("list {} is empty", path.display())))
    } else {
        Ok(samples)
    }
}

/// Finds the files of one `dataset/stem`.
pub fn sample(name: &str, data: &Path) -> anyhow::Result<Sample> {
    let sample = picture(name, data)?;
    match &sample.mask {
        Some(path) if !path.is_file() => Err(Fault::io(format!("no mask {}", path.display()))),
        _ => Ok(sample),
    }
}

/// Finds the picture, and says where its mask would be.
fn picture(name: &str, data: &Path) -> anyhow::Result<Sample> {
    let wrong = || Fault::data(format!("\"{name}\" is not dataset/stem"));
    let (dataset, stem) = name.split_once('/').ok_or_else(wrong)?;
    if [dataset, stem].iter().any(|part| part.is_empty() || part.contains(['/', '\\']) || *part == "..") {
        return Err(wrong());
    }
    let folder = data.join(dataset);
    let images = folder.join("images");
    let image = ["jpg", "png", "jpeg"].map(|extension| images.join(format!("{stem}.{extension}")));
    let image = image
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| Fault::io(format!("no image {stem}.jpg in {}", images.display())))?;
    let masks = folder.join("masks");
    let mask = masks.is_dir().then(|| masks.join(format!("{stem}.png")));
    Ok(Sample { name: name.to_string(), image, mask })
}

/// The name under which a list's scores are kept: its file's stem.
pub fn list_name(list: &Path) -> String {
    list.file_stem().map_or_else(|| "list".into(), |stem| stem.to_string_lossy().into_owned())
}

impl Sample {
    /// The data set that it is of.
    pub fn set(&self) -> &str {
        self.name.split_once('/').map_or("", |(set, _)| set)
    }

    /// The picture at its own size, decoded as the cart does.
    pub fn read_image(&self) -> anyhow::Result<Frame> {
        let mut frame = Frame::black(1, 1);
        read_image(&self.image, &mut frame)?;
        Ok(frame)
    }

    /// Width and height of the picture in pixels, from its head.
    pub fn read_size(&self) -> anyhow::Result<(usize, usize)> {
        let size = image::ImageReader::open(&self.image)
            .and_then(image::ImageReader::with_guessed_format)
            .map_err(|error| Fault::io(format!("cannot read {}: {error}", self.image.display())))?
            .into_dimensions();
        let (width, height) = size.map_err(|error| undecodable(&self.image, &error))?;
        Ok((width as usize, height as usize))
    }

    /// `[height_px, width_px] u8`, 255 where the polyp is, else 0; all 0 without a mask file. Another size than the
    /// picture's, and what [`Mask::read`] refuses, is exit code 65.
    pub fn read_mask(&self, width_px: usize, height_px: usize) -> anyhow::Result<Vec<u8>> {
        let Some(path) = &self.mask else { return Ok(vec![0; width_px * height_px]) };
        let mask = Mask::read(path)?;
        if (mask.width_px, mask.height_px) != (width_px, height_px) {
            return Err(Fault::data(format!(
                "mask {} has {} × {} pixels, but its image has {width_px} × {height_px}",
                path.display(),
                mask.width_px,
                mask.height_px
            )));
        }
        Ok(mask.pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyp_edge::fault::{Exit, exit_of};

    fn data_set() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        for folder in ["a/images", "a/masks", "negative/images", "splits"] {
            std::fs::create_dir_all(data.path().join(folder)).unwrap();
        }
        let picture = image::RgbImage::from_fn(4, 3, |x, y| image::Rgb([x as u8, y as u8, 9]));
        picture.save(data.path().join("a/images/one.png")).unwrap();
        picture.save(data.path().join("a/images/two.png")).unwrap();
        picture.save(data.path().join("negative/images/none.png")).unwrap();
        let mask = image::GrayImage::from_fn(4, 3, |x, _| image::Luma([if x > 1 { 255 } else { 0 }]));
        mask.save(data.path().join("a/masks/one.png")).unwrap();
        std::fs::write(data.path().join("splits/some.txt"), "# comment\na/one\n\nnegative/none\n").unwrap();
        data
    }

    #[test]
    fn a_list_gives_pictures_and_masks() {
        let data = data_set();
        let samples = read_list(Path::new("some"), data.path()).unwrap();
        assert_eq!(samples.len(), 2);
        let frame = samples[0].read_image().unwrap();
        assert_eq!((frame.width_px(), frame.height_px()), (4, 3));
        assert_eq!(frame.row(2)[..6], [0, 2, 9, 1, 2, 9]);
        assert_eq!(samples[0].read_mask(4, 3).unwrap(), [0, 0, 255, 255].repeat(3));
        assert_eq!(samples[1].mask, None);
        assert_eq!(samples[1].read_mask(2, 2).unwrap(), [0; 4]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let data = data_set();
        let error = sample("a/two", data.path()).unwrap_err();
        assert!(error.to_string().contains("two.png"), "{error}");
        assert_eq!(exit_of(&error), Exit::Io);
        assert_eq!(exit_of(&sample("a/../one", data.path()).unwrap_err()), Exit::Data);
        assert_eq!(exit_of(&read_list(Path::new("nobody"), data.path()).unwrap_err()), Exit::Io);
        let error = sample("a/one", data.path()).unwrap().read_mask(5, 3).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Data);
    }

    #[test]
    fn every_bad_line_of_a_list_is_counted() {
        let data = data_set();
        let list = data.path().join("splits/bad.txt");
        let read = |text: &str| {
            std::fs::write(&list, text).unwrap();
            read_list(Path::new("bad"), data.path())
        };
        let error = read("a/one\na/two\nnegative/none\na/three\n").unwrap_err();
        let said = format!("{error:#}");
        assert!(said.contains("bad.txt: 2 of 4 samples"), "{said}");
        assert!(said.contains("line 2: no mask") && said.contains("line 4: no image three.jpg"), "{said}");
        assert_eq!(exit_of(&error), Exit::Io);
        let error = read("a/one\n\nnegative/none\na/one\nb\n").unwrap_err();
        let said = format!("{error:#}");
        assert!(
            said.contains("2 of 4") && said.contains("line 4: a/one is listed twice, first on line 1"),
            "{said}"
        );
        assert_eq!(exit_of(&error), Exit::Data);
        assert_eq!(exit_of(&read("# nothing\n\n").unwrap_err()), Exit::Data);
        assert_eq!(exit_of(&read("").unwrap_err()), Exit::Data);
        let many: String = (0..9).map(|n| format!("a/{n}\n")).collect();
        let said = format!("{:#}", read(&many).unwrap_err());
        assert!(said.contains("9 of 9") && said.ends_with("and 4 more") && !said.contains('\n'), "{said}");
    }

    #[test]
    fn a_pictures_size_is_read_from_its_head() {
        let data = data_set();
        let sample = sample("a/one", data.path()).unwrap();
        assert_eq!(sample.read_size().unwrap(), (4, 3));
        std::fs::write(&sample.image, b"no picture").unwrap();
        assert_eq!(exit_of(&sample.read_size().unwrap_err()), Exit::Data);
        std::fs::remove_file(&sample.image).unwrap();
        assert_eq!(exit_of(&sample.read_size().unwrap_err()), Exit::Io);
    }
}
