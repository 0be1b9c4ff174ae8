//! `replay`: recorded frames through a model, each by itself or as a cart would show them.
//!
//! | module | job |
//! |---|---|
//! | `arguments`, `opened` | what is asked for, and what is open for it |
//! | `frames` | each frame by itself |
//! | `as_cart` | the whole pipeline, in a time of its own |
//! | `outputs` | masks, pictures and results on the disk |
//! | `lines` | results as a line of JSON for each frame |
//! | `coco` | results as others' tools read them |
//! | `damaged`, `progress` | what could not be read, and how far it is |

mod arguments;
mod as_cart;
mod coco;
mod damaged;
mod frames;
mod lines;
mod opened;
mod outputs;
mod progress;

use anyhow::Result;

pub use arguments::Arguments;
use opened::Opened;

use crate::files::signals;

pub fn run(arguments: &Arguments) -> Result<()> {
    signals::end_cleanly()?;
    let opened = Opened::by(arguments)?;
    match opened.board {
        Some(_) if arguments.as_cart => as_cart::run(arguments, opened),
        _ => frames::run(arguments, opened),
    }
}
