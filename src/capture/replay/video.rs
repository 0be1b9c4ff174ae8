//! Video in any container, decoded by ffmpeg where that is installed.
//!
//! The same command is what a message tells people to type where it is not, see `foreign.rs`. High-definition video without a colour
//! tag is taken for BT.709, which ffmpeg by itself would not do.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Result;
use serde::Deserialize;

use super::y4m::Y4m;
use crate::capture::{Source, foreign};
use crate::fault::Fault;
use crate::frame::Frame;
use crate::runtime;
use crate::runtime::channel::{Receiver, channel};

/// From this height on, video without a tag is of high definition.
const HD_LINES: u64 = 720;
/// Of what ffmpeg says, the end is kept: bytes.
const LAST_WORDS: usize = 2048;

/// A video that ffmpeg decodes in a process of its own, which ends with this.
pub struct Video {
    name: String,
    child: Child,
    frames: Option<Y4m>,
    /// What ffmpeg has said, once it has ended.
    said: Receiver<String>,
    expected: Option<u64>,
    nothing: OsString,
}

/// Opens a file if it is video in a container, and ffmpeg is installed.
///
/// # Errors
/// 74 if it cannot be read; 65 if ffmpeg cannot read it.
pub fn open(path: &Path) -> Result<Option<Video>> {
    if !path.is_file() || !is_video(path)? {
        return Ok(None);
    }
    let name = path.display().to_string();
    // Only files: a playlist leads nowhere else.
    let mut input = OsString::from("file:");
    input.push(path);
    let Some(about) = probe(&name, &input)? else { return Ok(None) };
    let mut child = match Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe", "-i"])
        .arg(&input)
        .args(["-map", "0:v:0", "-vf", &about.filter(), "-color_range", "pc", "-f", "yuv4mpegpipe", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Fault::io(format!("cannot start ffmpeg for {name}: {error}"))),
    };
    log::info!(
        "{name} is decoded by ffmpeg{}",
        if about.is_untagged_hd() { ", as BT.709, for it has no colour tag" } else { "" }
    );
    let (sender, said) = channel();
    if let Some(errors) = child.stderr.take() {
        runtime::thread::spawn("ffmpeg's errors", move || {
            // Nobody waits for it any more.
            let _ = sender.send(last_words(errors));
        })
        .map_err(|error| Fault::io(format!("cannot start a thread: {error}")))?;
    }
    let stdout = child.stdout.take();
    let mut video =
        Video { name, child, frames: None, said, expected: about.frames(), nothing: OsString::new() };
    let Some(stdout) = stdout else { return Err(video.failed(None)) };
    match Y4m::new(&video.name, Box::new(stdout)) {
        Ok(frames) => video.frames = Some(frames),
        Err(error) => return Err(video.failed(Some(error))),
    }
    Ok(Some(video))
}

fn is_video(path: &Path) -> Result<bool> {
    let failed = |error: std::io::Error| Fault::io(format!("cannot read {}: {error}", path.display()));
    let mut head = Vec::new();
    File::open(path).map_err(failed)?.take(foreign::HEAD as u64).read_to_end(&mut head).map_err(failed)?;
    Ok(foreign::what(&head).is_some_and(|kind| kind.is_video()))
}

/// What ffprobe says of the first video stream.
#[derive(Debug, Default, Deserialize)]
struct About {
    #[serde(default)]
    streams: Vec<Stream>,
    #[serde(default)]
    format: Format,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stream {
    height: u64,
    color_space: Option<String>,
    avg_frame_rate: String,
    nb_frames: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Format {
    duration: String,
}

impl About {
    fn is_untagged_hd(&self) -> bool {
        self.streams.first().is_some_and(|stream| {
            let tag = stream.color_space.as_deref().unwrap_or("unknown");
            stream.height >= HD_LINES && ["unknown", "unspecified", "reserved"].contains(&tag)
        })
    }

    fn filter(&self) -> String {
        let matrix = if self.is_untagged_hd() { "in_color_matrix=bt709:" } else { "" };
        format!("scale={matrix}{}", foreign::CONVERT_SCALE)
    }

    /// How many frames there are, as far as the container tells.
    fn frames(&self) -> Option<u64> {
        let stream = self.streams.first()?;
        let counted = stream.nb_frames.parse().ok();
        counted.or_else(|| {
            let (over, under) = stream.avg_frame_rate.split_once('/')?;
            let rate = over.parse::<f64>().ok()? / under.parse::<f64>().ok()?;
            let frames = (self.format.duration.parse::<f64>().ok()? * rate).round();
            (1.0..1e9).contains(&frames).then_some(frames as u64)
        })
    }
}

/// `None` if ffprobe is not installed.
fn probe(name: &str, input: &OsStr) -> Result<Option<About>> {
    let probed = Command::new("ffprobe")
        .args([
            "-v",
            "error",
            "-protocol_whitelist",
            "file,pipe",
            "-select_streams",
            "v:0",
            "-of",
            "json",
            "-show_entries",
        ])
        .arg("stream=height,color_space,avg_frame_rate,nb_frames:format=duration")
        .arg(input)
        .stdin(Stdio::null())
        .output();
    match probed {
        Ok(output) if output.status.success() => {
            let about: About = serde_json::from_slice(&output.stdout).map_err(|error| {
                Fault::data(format!("{name}: what ffprobe says of it is not understood: {error}"))
            })?;
            if about.streams.is_empty() {
                return Err(Fault::data(format!("{name}: there is no video in it")));
            }
            Ok(Some(about))
        }
        Ok(output) => {
            Err(Fault::data(format!("{name}: ffprobe cannot read it: {}", last_words(&output.stderr[..]))))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::io(format!("cannot start ffprobe for {name}: {error}"))),
    }
}

/// The end of what a program says, one line.
fn last_words(mut from: impl Read) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 {
            break;
        }
        kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let more = kept.len().saturating_sub(LAST_WORDS);
        kept.drain(..more);
    }
    let text = String::from_utf8_lossy(&kept);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it does not say why").to_owned()
}

impl Video {
    /// ffmpeg has failed, or what it gave is not whole.
    fn failed(&mut self, error: Option<anyhow::Error>) -> anyhow::Error {
        self.frames = None;
        let ended = self.child.wait();
        let said = self.said.recv().unwrap_or_default();
        match (ended, error) {
            (Ok(status), Some(error)) if status.success() => error,
            (Ok(_), _) => Fault::data(format!("{}: ffmpeg cannot decode it: {said}", self.name)),
            (Err(error), _) => Fault::io(format!("{}: ffmpeg cannot be waited for: {error}", self.name)),
        }
    }
}

impl Source for Video {
    fn read(&mut self, frame: &mut Frame) -> Result<bool> {
        let Some(frames) = &mut self.frames else { return Ok(false) };
        match frames.read(frame) {
            Ok(true) => Ok(true),
            Ok(false) => {
                // What was decoded before an error is no whole video.
                if self.child.wait().is_ok_and(|status| status.success()) {
                    self.frames = None;
                    return Ok(false);
                }
                Err(self.failed(None))
            }
            Err(error) => Err(self.failed(Some(error))),
        }
    }

    fn name(&self) -> &OsStr {
        self.frames.as_ref().map_or(&self.nothing, |frames| frames.name())
    }

    fn expected(&self) -> Option<u64> {
        self.expected
    }

    fn rate_hz(&self) -> Option<f64> {
        self.frames.as_ref().and_then(Source::rate_hz)
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        // One that has ended is met by waiting for it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(json: &str) -> About {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn untagged_high_definition_is_bt709_and_all_else_as_it_says() {
        let stream =
            |height: u32, space: &str| about(&format!(r#"{{"streams":[{{"height":{height}{space}}}]}}"#));
        for (height, space, expected) in [
            (1080, "", true),
            (720, r#","color_space":"unknown""#, true),
            (1080, r#","color_space":"bt709""#, false),
            (1080, r#","color_space":"smpte170m""#, false),
            (576, "", false),
        ] {
            let about = stream(height, space);
            assert_eq!(about.is_untagged_hd(), expected, "{height} {space}");
            assert_eq!(about.filter().contains("in_color_matrix=bt709"), expected);
            assert!(about.filter().ends_with("format=yuv444p"), "{}", about.filter());
        }
    }

    #[test]
    fn frames_are_counted_by_the_container_or_by_its_length() {
        let frames = |json| about(json).frames();
        assert_eq!(
            frames(r#"{"streams":[{"height":576,"nb_frames":"250"}],"format":{"duration":"1"}}"#),
            Some(250)
        );
        assert_eq!(
            frames(r#"{"streams":[{"avg_frame_rate":"30000/1001"}],"format":{"duration":"10.01"}}"#),
            Some(300)
        );
        for nothing in [
            r#"{}"#,
            r#"{"streams":[{"avg_frame_rate":"0/0"}],"format":{"duration":"9"}}"#,
            r#"{"streams":[{}]}"#,
        ] {
            assert_eq!(frames(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn the_last_words_are_one_line_of_bounded_length() {
        assert_eq!(last_words(&b"first\nlast \n\n"[..]), "last");
        assert_eq!(last_words(&b""[..]), "it does not say why");
        assert!(last_words(&[b'x'; 100_000][..]).len() <= LAST_WORDS);
    }
}
