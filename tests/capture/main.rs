//! Where pictures come from: cameras that err, recordings, JPEG of every kind, colours.

mod camera;
mod colour;
mod faults;
mod field;
mod jpeg;
mod pictures;
