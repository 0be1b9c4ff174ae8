//! Lists of `dataset/stem` lines, and the images and masks that they name.
//!
//! Under the data folder, `dataset/images/stem.{jpg,png}` is a picture and `dataset/masks/stem.png` its mask. A data set
//! without a `masks` folder holds frames without a polyp.

use std::path::{Path, PathBuf};

use polyp_edge::fault::Fault;
use polyp_edge::frame::Frame;

use crate::files;

/// A picture with its truth.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// `dataset/stem`
    pub name: String,
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
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(Fault::io(format!("no data folder at {}; set POLYP_DATA to it", folder.display()))),
    }
}

/// Reads a list file. A bare name such as `test-kvasir` or `test-kvasir.txt` that is no file here means the one in
/// `splits/` of the data folder.
pub fn read_list(list: &Path, data: &Path) -> anyhow::Result<Vec<Sample>> {
    let split = data.join("splits").join(list);
    let candidates = [list.to_path_buf(), split.clone(), split.with_extension("txt")];
    let path = candidates.iter().find(|path| path.is_file()).ok_or_else(|| {
        Fault::io(format!(
            "no list {}, neither here nor in {}",
            list.display(),
            data.join("splits").display()
        ))
    })?;
    let text = files::read_text(path)?;
    let samples = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            sample(line, data).map_err(|error| error.context(format!("{}:{}", path.display(), number + 1)))
        })
        .collect::<anyhow::Result<Vec<Sample>>>()?;
    match samples.is_empty() {
        true => Err(Fault::data(format!("list {} is empty", path.display()))),
        false => Ok(samples),
    }
}

/// Finds the files of one `dataset/stem`.
pub fn sample(name: &str, data: &Path) -> anyhow::Result<Sample> {
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
        .ok_or_else(|| Fault::io(format!("no picture {stem}.jpg in {}", images.display())))?;
    let masks = folder.join("masks");
    let mask = masks.is_dir().then(|| masks.join(format!("{stem}.png")));
    match &mask {
        Some(path) if !path.is_file() => Err(Fault::io(format!("no mask {}", path.display()))),
        _ => Ok(Sample { name: name.to_string(), image, mask }),
    }
}

impl Sample {
    /// The picture at its own size.
    pub fn read_image(&self) -> anyhow::Result<Frame> {
        let picture = decode(&self.image)?.into_rgb8();
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        Frame::from_rgb(width, height, picture.into_raw())
            .ok_or_else(|| Fault::data(format!("{} has no pixels", self.image.display())))
    }

    /// `[height_px, width_px] u8`, 255 where the polyp is, else 0; all 0 without a mask file. Another size than the
    /// picture's is exit code 65.
    pub fn read_mask(&self, width_px: usize, height_px: usize) -> anyhow::Result<Vec<u8>> {
        let Some(path) = &self.mask else { return Ok(vec![0; width_px * height_px]) };
        let mask = decode(path)?.into_luma8();
        if (mask.width() as usize, mask.height() as usize) != (width_px, height_px) {
            return Err(Fault::data(format!(
                "mask {} is {} × {}, its picture {width_px} × {height_px}",
                path.display(),
                mask.width(),
                mask.height()
            )));
        }
        Ok(mask.into_raw().into_iter().map(|value| if value >= 128 { 255 } else { 0 }).collect())
    }
}

fn decode(path: &Path) -> anyhow::Result<image::DynamicImage> {
    let bytes = files::read(path)?;
    image::load_from_memory(&bytes)
        .map_err(|error| Fault::data(format!("{} does not decode: {error}", path.display())))
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
}
