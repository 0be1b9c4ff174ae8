//! Image files, of any kind, with errors that name them.

use std::path::Path;

use polyp_edge::fault::Fault;

use crate::files;

/// An image of any kind; one that does not decode is exit code 65.
pub(crate) fn decode(path: &Path) -> anyhow::Result<image::DynamicImage> {
    image::load_from_memory(&files::read(path)?).map_err(|error| undecodable(path, &error))
}

pub(super) fn undecodable(path: &Path, error: &image::ImageError) -> anyhow::Error {
    Fault::data(format!("cannot decode {}: {error}", path.display()))
}
