//! Motion JPEG: pictures one after another, whatever lies between them: padding, the headers and boundaries of a
//! multipart stream, the rest of a picture that was cut.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::time::Duration;

use anyhow::Result;

use super::reading::read_fault;
use crate::capture::jpeg::Refused;
use crate::capture::jpeg::picture::{Scratch, Takes};
use crate::capture::jpeg::stream::{Next, Splitter};
use crate::capture::synthetic::FPS;
use crate::capture::{DamagedFrame, Source, jpeg, name_by_number, still};
use crate::fault::Fault;
use crate::frame::{Frame, FrameNumber, Timestamp};

/// An MJPEG stream, stamped 25 a second since it does not say its rate. Holds one compressed picture at a time.
///
/// A picture without EOI ends where the next one begins. What is no picture is passed over, up to a megabyte at a time. An
/// orientation in Exif data is not applied: the pictures of a stream are those of one camera.
pub struct Mjpeg {
    stream: String,
    splitter: Option<Splitter<Box<dyn Read + Send>>>,
    picture: Vec<u8>,
    scratch: Scratch,
    next: u64,
    name: OsString,
}

impl Mjpeg {
    /// `stream` names it in messages.
    pub fn new(stream: &str, reader: Box<dyn Read + Send>) -> Self {
        Mjpeg {
            stream: stream.to_owned(),
            splitter: Some(Splitter::new(reader)),
            picture: Vec::new(),
            scratch: Scratch::default(),
            next: 0,
            name: OsString::new(),
        }
    }

    fn end(&mut self) {
        if let Some(splitter) = self.splitter.take()
            && splitter.skipped() > 0
        {
            log::info!("{}: {} bytes that belong to no image were skipped", self.stream, splitter.skipped());
        }
    }
}

impl Source for Mjpeg {
    fn read(&mut self, frame: &mut Frame) -> Result<bool> {
        let Some(splitter) = &mut self.splitter else { return Ok(false) };
        let (number, stream) = (self.next, &self.stream);
        let takes = Takes::Pixels(still::MAX_PIXELS);
        let outcome = match splitter.next(&mut self.picture) {
            Ok(Next::Picture) => jpeg::decode(&mut self.picture, takes, &mut self.scratch, frame).map(drop),
            Ok(Next::Damaged(what)) => Err(Refused::Damaged(what)),
            Ok(Next::End) => {
                let error = Fault::data(format!("{stream} contains no JPEG image"));
                self.end();
                return if number == 0 { Err(error) } else { Ok(false) };
            }
            Err(error) => {
                let error = read_fault(&format!("{stream}, frame {number}"), &error);
                self.end();
                return Err(error);
            }
        };
        name_by_number(number, &mut self.name);
        self.next += 1;
        if let Err(refused) = outcome {
            return Err(DamagedFrame::new(format!("{stream}, frame {number}, {refused}")));
        }
        frame.number = FrameNumber(number);
        frame.timestamp = Timestamp(Duration::from_secs_f64(number as f64 / FPS));
        Ok(true)
    }

    fn name(&self) -> &OsStr {
        &self.name
    }
}
