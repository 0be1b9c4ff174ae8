//! Model bundles: a folder with a manifest, the model, golden frames and a model card.

pub mod manifest;
