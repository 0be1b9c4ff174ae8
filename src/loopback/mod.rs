//! From glass to glass: what the cart shows on its monitor's output goes by a cable into its own camera input, and how long that takes is
//! measured by a pattern that counts.
//!
//! | module | job |
//! |---|---|
//! | [`patch`] | a number as black and white cells in a corner, drawn and read |
//! | [`echo`] | a display that shows the next number as soon as it sees the last one |
//!
//! Each time that the camera's picture has the number that the monitor shows, the next one is drawn on that very picture. So one turn of
//! the loop is the way of the light out of the monitor's output, through the cable and the camera's input, and through the pipeline to the
//! monitor again. Its two halves are told apart by the moment at which the camera's driver gave the picture to the program.

pub mod echo;
pub mod patch;

pub use echo::{Echo, Turns};
