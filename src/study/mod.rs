//! What is kept of a picture that somebody wants to keep: a still, with what was drawn on it.
//!
//! | module | job |
//! |---|---|
//! | [`still`] | the frame, what was drawn on it, and what made that |
//! | `privacy` | what lies outside the endoscope's picture, such as a name, made black |
//! | `dicom` | as a hospital's archive takes it: a VL Endoscopic Image and a Segmentation |
//! | [`keep`](mod@keep) | all of it as files in a folder of their own |
//! | `shelf` | the folder in which those, and films, are kept |

mod dicom;
pub mod keep;
pub(crate) mod privacy;
pub(crate) mod shelf;
pub mod still;

pub use keep::{Outside, keep};
pub use still::{Made, Still};
