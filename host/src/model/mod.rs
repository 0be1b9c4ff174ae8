//! Opens trained networks: runs and graphs as teachers, ONNX files as what the cart's segmentation runs.

pub mod cart;
pub(crate) mod teacher;
