//! Motion JPEG: pictures one after another, with or without multipart headers between them.

use std::io::{BufReader, Read};
use std::time::Duration;

use anyhow::Result;

use super::{read_fault, segments, still};
use crate::capture::synthetic::FPS;
use crate::capture::{Source, name_by_number};
use crate::fault::Fault;
use crate::frame::{Frame, FrameNumber, Timestamp};

/// An MJPEG stream, stamped 25 a second since it does not say its rate. Holds one compressed picture at a time.
pub struct Mjpeg {
    stream: String,
    reader: Option<BufReader<Box<dyn Read + Send>>>,
    picture: Vec<u8>,
    next: u64,
    name: String,
}

impl Mjpeg {
    /// `stream` names it in messages.
    pub fn new(stream: &str, reader: Box<dyn Read + Send>) -> Self {
        let reader = Some(BufReader::with_capacity(1 << 16, reader));
        Mjpeg { stream: stream.to_owned(), reader, picture: Vec::new(), next: 0, name: String::new() }
    }

    fn read_picture(&mut self, frame: &mut Frame) -> Result<bool> {
        let Some(reader) = &mut self.reader else { return Ok(false) };
        let shown = format!("{}, frame {}", self.stream, self.next);
        match segments::next_picture(reader, &mut self.picture) {
            Ok(true) => still::jpeg(&shown, &self.picture, frame).map(|()| true),
            Ok(false) if self.next == 0 => Err(Fault::data(format!("{} holds no picture", self.stream))),
            Ok(false) => Ok(false),
            Err(error) => Err(read_fault(&shown, &error)),
        }
    }
}

impl Source for Mjpeg {
    fn read(&mut self, frame: &mut Frame) -> Result<bool> {
        let outcome = self.read_picture(frame);
        if !matches!(outcome, Ok(true)) {
            self.reader = None;
            return outcome;
        }
        frame.number = FrameNumber(self.next);
        frame.timestamp = Timestamp(Duration::from_secs_f64(self.next as f64 / FPS));
        name_by_number(self.next, &mut self.name);
        self.next += 1;
        Ok(true)
    }

    fn name(&self) -> &str {
        &self.name
    }
}
