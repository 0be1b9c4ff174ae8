//! Pictures as a film in a Matroska file (RFC 9559), which ends well wherever it is cut off.
//!
//! A head of fixed length, then a cluster for each second, whose length is known before it is written: what a loss of power leaves is read
//! up to its last whole cluster. At the end come the places of all clusters, and the head is written once more with the length.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime};

/// Elements by their numbers: RFC 8794, section 11.2.4, and RFC 9559, section 5.1.
mod id {
    pub const EBML: u32 = 0x1A45_DFA3;
    pub const VERSION: u32 = 0x4286;
    pub const READ_VERSION: u32 = 0x42F7;
    pub const MAX_ID_LENGTH: u32 = 0x42F2;
    pub const MAX_SIZE_LENGTH: u32 = 0x42F3;
    pub const DOC_TYPE: u32 = 0x4282;
    pub const DOC_TYPE_VERSION: u32 = 0x4287;
    pub const DOC_TYPE_READ_VERSION: u32 = 0x4285;
    pub const VOID: u32 = 0xEC;
    pub const SEGMENT: u32 = 0x1853_8067;
    pub const SEEK_HEAD: u32 = 0x114D_9B74;
    pub const SEEK: u32 = 0x4DBB;
    pub const SEEK_ID: u32 = 0x53AB;
    pub const SEEK_POSITION: u32 = 0x53AC;
    pub const INFO: u32 = 0x1549_A966;
    pub const TIMESTAMP_SCALE: u32 = 0x2A_D7B1;
    pub const DURATION: u32 = 0x4489;
    pub const DATE: u32 = 0x4461;
    pub const TITLE: u32 = 0x7BA9;
    pub const MUXING_APP: u32 = 0x4D80;
    pub const WRITING_APP: u32 = 0x5741;
    pub const TRACKS: u32 = 0x1654_AE6B;
    pub const TRACK_ENTRY: u32 = 0xAE;
    pub const TRACK_NUMBER: u32 = 0xD7;
    pub const TRACK_UID: u32 = 0x73C5;
    pub const TRACK_TYPE: u32 = 0x83;
    pub const LACING: u32 = 0x9C;
    pub const CODEC: u32 = 0x86;
    pub const VIDEO: u32 = 0xE0;
    pub const INTERLACED: u32 = 0x9A;
    pub const WIDTH: u32 = 0xB0;
    pub const HEIGHT: u32 = 0xBA;
    pub const CLUSTER: u32 = 0x1F43_B675;
    pub const TIMESTAMP: u32 = 0xE7;
    pub const SIMPLE_BLOCK: u32 = 0xA3;
    pub const CUES: u32 = 0x1C53_BB6B;
    pub const CUE_POINT: u32 = 0xBB;
    pub const CUE_TIME: u32 = 0xB3;
    pub const CUE_TRACK_POSITIONS: u32 = 0xB7;
    pub const CUE_TRACK: u32 = 0xF7;
    pub const CUE_CLUSTER: u32 = 0xF1;
}

/// All before the first cluster.
const HEAD_BYTES: usize = 1024;
/// A length that is not known yet, in eight bytes; and the mark of eight bytes.
const UNKNOWN: u64 = u64::MAX >> 8;
const EIGHT_BYTES: u64 = 1 << 56;
/// Timestamps are in milliseconds.
const SCALE_NS: u64 = 1_000_000;
const TRACK: u64 = 1;
const VIDEO_TRACK: u64 = 1;
const PROGRESSIVE: u64 = 2;
/// Each picture stands by itself.
const KEY_PICTURE: u8 = 0x80;
/// A cluster ends before a picture that is later than its first by so much.
const CLUSTER: Duration = Duration::from_secs(1);
/// 1 January 2001, from which Matroska's dates count, in seconds since 1970.
const EPOCH_2001_S: u64 = 978_307_200;

/// What a film's head says.
#[derive(Clone, Debug)]
pub struct Head {
    /// Width and height in pixels.
    pub size: (usize, usize),
    /// When its first picture was shown.
    pub date: SystemTime,
    /// For people.
    pub title: String,
    /// The program and its version.
    pub program: String,
}

/// A film that grows.
pub struct Film {
    file: File,
    head: Head,
    /// The cluster under way: its blocks, and when it begins.
    blocks: Vec<u8>,
    begins: Option<Duration>,
    /// The newest picture's time.
    last: Duration,
    /// Of each cluster, when it begins and where it is, from the segment's first byte on.
    cues: Vec<(Duration, u64)>,
    /// Whole clusters end here.
    end: u64,
}

impl Film {
    /// Begins a film in an empty file.
    pub fn begin(mut file: File, head: Head) -> io::Result<Film> {
        let bytes = head.bytes(None);
        file.write_all(&bytes)?;
        let end = bytes.len() as u64;
        Ok(Film { file, head, blocks: Vec::new(), begins: None, last: Duration::ZERO, cues: Vec::new(), end })
    }

    /// Adds a picture; times, from the film's beginning on, never go back. It is in the file once its cluster ends: whether that is now.
    pub fn picture(&mut self, at: Duration, jpeg: &[u8]) -> io::Result<bool> {
        let at = at.max(self.last);
        let is_over = self.begins.is_some_and(|begins| at >= begins + CLUSTER);
        if is_over {
            self.end_cluster()?;
        }
        let begins = *self.begins.get_or_insert(at);
        self.last = at;
        let since = i16::try_from(millis(at) - millis(begins)).unwrap_or(i16::MAX).to_be_bytes();
        put_id(&mut self.blocks, id::SIMPLE_BLOCK);
        put_length(&mut self.blocks, 4 + jpeg.len() as u64);
        self.blocks.extend_from_slice(&[0x80 | TRACK as u8, since[0], since[1], KEY_PICTURE]);
        self.blocks.extend_from_slice(jpeg);
        Ok(is_over)
    }

    /// Gives the disk what is in the file.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    fn end_cluster(&mut self) -> io::Result<()> {
        let Some(begins) = self.begins.take() else { return Ok(()) };
        let mut head = Vec::with_capacity(32);
        let mut timestamp = Vec::with_capacity(16);
        put_uint(&mut timestamp, id::TIMESTAMP, millis(begins));
        put_id(&mut head, id::CLUSTER);
        put_length(&mut head, (timestamp.len() + self.blocks.len()) as u64);
        head.extend_from_slice(&timestamp);
        // What an error has left half written before is overwritten.
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&head)?;
        self.file.write_all(&self.blocks)?;
        self.cues.push((begins, self.end - segment_at()));
        self.end += (head.len() + self.blocks.len()) as u64;
        self.blocks.clear();
        Ok(())
    }

    /// Writes what is left, the places of the clusters, and the head with the length. All of it is on the disk when this returns; if it
    /// fails, the film is read up to where it is whole all the same.
    pub fn finish(mut self) -> io::Result<()> {
        let whole = self.end_cluster();
        self.file.set_len(self.end)?;
        whole?;
        let cues = self.cues();
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&cues)?;
        let end = self.end + cues.len() as u64;
        self.file.sync_data()?;
        let known = Known { end, cues: self.end - segment_at(), lasts: self.last };
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.head.bytes(Some(&known)))?;
        self.file.sync_all()
    }

    fn cues(&self) -> Vec<u8> {
        let mut points = Vec::new();
        for (begins, cluster) in &self.cues {
            let (mut place, mut point) = (Vec::new(), Vec::new());
            put_uint(&mut place, id::CUE_TRACK, TRACK);
            put_uint(&mut place, id::CUE_CLUSTER, *cluster);
            put_uint(&mut point, id::CUE_TIME, millis(*begins));
            put(&mut point, id::CUE_TRACK_POSITIONS, &place);
            put(&mut points, id::CUE_POINT, &point);
        }
        let mut cues = Vec::new();
        put(&mut cues, id::CUES, &points);
        cues
    }
}

/// What is known at a film's end.
struct Known {
    /// The file's length.
    end: u64,
    /// Where the clusters' places are, from the segment's first byte on.
    cues: u64,
    lasts: Duration,
}

impl Head {
    /// Always [`HEAD_BYTES`].
    fn bytes(&self, known: Option<&Known>) -> Vec<u8> {
        let mut out = ebml();
        put_id(&mut out, id::SEGMENT);
        let length = known.map_or(UNKNOWN, |known| known.end - segment_at());
        out.extend_from_slice(&(EIGHT_BYTES | length).to_be_bytes());
        if let Some(known) = known {
            let (mut seek, mut head) = (Vec::new(), Vec::new());
            put(&mut seek, id::SEEK_ID, &id::CUES.to_be_bytes());
            put_uint(&mut seek, id::SEEK_POSITION, known.cues);
            put(&mut head, id::SEEK, &seek);
            put(&mut out, id::SEEK_HEAD, &head);
        }
        put(&mut out, id::INFO, &self.info(known));
        put(&mut out, id::TRACKS, &self.tracks());
        // What is left, less the filler's own head: one byte of number and eight of length.
        let left = HEAD_BYTES.saturating_sub(out.len() + 9);
        put_id(&mut out, id::VOID);
        out.extend_from_slice(&(EIGHT_BYTES | left as u64).to_be_bytes());
        out.resize(out.len() + left, 0);
        out
    }

    fn info(&self, known: Option<&Known>) -> Vec<u8> {
        let mut info = Vec::new();
        put_uint(&mut info, id::TIMESTAMP_SCALE, SCALE_NS);
        if let Some(known) = known {
            put(&mut info, id::DURATION, &(millis(known.lasts) as f64).to_be_bytes());
        }
        let since_2001 = self
            .date
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .saturating_sub(Duration::from_secs(EPOCH_2001_S));
        put(&mut info, id::DATE, &i64::try_from(since_2001.as_nanos()).unwrap_or_default().to_be_bytes());
        let short = |text: &str| text.chars().take(100).collect::<String>();
        put(&mut info, id::TITLE, short(&self.title).as_bytes());
        put(&mut info, id::MUXING_APP, short(&self.program).as_bytes());
        put(&mut info, id::WRITING_APP, short(&self.program).as_bytes());
        info
    }

    fn tracks(&self) -> Vec<u8> {
        let (mut video, mut entry, mut tracks) = (Vec::new(), Vec::new(), Vec::new());
        put_uint(&mut video, id::INTERLACED, PROGRESSIVE);
        put_uint(&mut video, id::WIDTH, self.size.0 as u64);
        put_uint(&mut video, id::HEIGHT, self.size.1 as u64);
        put_uint(&mut entry, id::TRACK_NUMBER, TRACK);
        put_uint(&mut entry, id::TRACK_UID, TRACK);
        put_uint(&mut entry, id::TRACK_TYPE, VIDEO_TRACK);
        put_uint(&mut entry, id::LACING, 0);
        put(&mut entry, id::CODEC, b"V_MJPEG");
        put(&mut entry, id::VIDEO, &video);
        put(&mut tracks, id::TRACK_ENTRY, &entry);
        tracks
    }
}

fn ebml() -> Vec<u8> {
    let (mut head, mut out) = (Vec::new(), Vec::new());
    put_uint(&mut head, id::VERSION, 1);
    put_uint(&mut head, id::READ_VERSION, 1);
    put_uint(&mut head, id::MAX_ID_LENGTH, 4);
    put_uint(&mut head, id::MAX_SIZE_LENGTH, 8);
    put(&mut head, id::DOC_TYPE, b"matroska");
    put_uint(&mut head, id::DOC_TYPE_VERSION, 4);
    put_uint(&mut head, id::DOC_TYPE_READ_VERSION, 2);
    put(&mut out, id::EBML, &head);
    out
}

/// Where the segment's first byte is: behind its number and its length.
fn segment_at() -> u64 {
    ebml().len() as u64 + 4 + 8
}

fn millis(time: Duration) -> u64 {
    u64::try_from((time + Duration::from_micros(500)).as_millis()).unwrap_or(u64::MAX)
}

/// Numbers carry their own length.
fn put_id(out: &mut Vec<u8>, id: u32) {
    let bytes = id.to_be_bytes();
    out.extend(bytes.into_iter().skip_while(|&byte| byte == 0));
}

/// In as few bytes as hold it; all bits set would mean "not known".
fn put_length(out: &mut Vec<u8>, length: u64) {
    let bytes = (1..8).find(|&bytes| length < (1 << (7 * bytes)) - 1).unwrap_or(8);
    let marked = (1 << (7 * bytes)) | length;
    out.extend_from_slice(marked.to_be_bytes().get(8 - bytes..).unwrap_or_default());
}

fn put(out: &mut Vec<u8>, id: u32, data: &[u8]) {
    put_id(out, id);
    put_length(out, data.len() as u64);
    out.extend_from_slice(data);
}

fn put_uint(out: &mut Vec<u8>, id: u32, value: u64) {
    let bytes = value.to_be_bytes();
    let first = bytes.iter().position(|&byte| byte != 0).unwrap_or(7);
    put(out, id, bytes.get(first..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn head() -> Head {
        Head {
            size: (1920, 1080),
            date: SystemTime::UNIX_EPOCH + Duration::from_secs(EPOCH_2001_S + 1),
            title: "t".repeat(2000),
            program: "polyp-edge".into(),
        }
    }

    /// An element's number, its data's place, and the place after it.
    fn element(bytes: &[u8], at: usize) -> (u32, std::ops::Range<usize>) {
        let number = |at: usize, keeps_mark: bool| {
            let count = bytes[at].leading_zeros() as usize + 1;
            let mut value = u64::from(bytes[at]);
            if !keeps_mark {
                value &= (1 << (8 - count)) - 1;
            }
            for byte in &bytes[at + 1..at + count] {
                value = value << 8 | u64::from(*byte);
            }
            (value, count)
        };
        let (id, id_bytes) = number(at, true);
        let (length, length_bytes) = number(at + id_bytes, false);
        let start = at + id_bytes + length_bytes;
        let end = if length == UNKNOWN { bytes.len() } else { start + length as usize };
        (id as u32, start..end)
    }

    fn children(bytes: &[u8], within: std::ops::Range<usize>) -> Vec<(u32, std::ops::Range<usize>)> {
        let (mut at, mut found) = (within.start, Vec::new());
        while at < within.end {
            let (id, data) = element(bytes, at);
            at = data.end;
            found.push((id, data));
        }
        found
    }

    fn film(pictures: u64) -> (Film, File) {
        let file = tempfile::tempfile().unwrap();
        let mut film = Film::begin(file.try_clone().unwrap(), head()).unwrap();
        for number in 0..pictures {
            let at = Duration::from_micros(number * 33_333);
            film.picture(at, &vec![number as u8; 20_000 + number as usize]).unwrap();
        }
        (film, file)
    }

    fn read(mut file: File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_film_holds_its_pictures_and_says_where() {
        let (film, file) = film(100);
        film.finish().unwrap();
        let bytes = read(file);
        let (id, ebml) = element(&bytes, 0);
        assert_eq!(id, id::EBML);
        let (id, segment) = element(&bytes, ebml.end);
        assert_eq!((id, segment.end, segment.start), (id::SEGMENT, bytes.len(), segment_at() as usize));
        let parts = children(&bytes, segment.clone());
        let names: Vec<u32> = parts.iter().map(|(id, _)| *id).collect();
        let mut wanted = vec![id::SEEK_HEAD, id::INFO, id::TRACKS, id::VOID];
        wanted.extend([id::CLUSTER; 4]);
        wanted.push(id::CUES);
        assert_eq!(names, wanted);
        assert_eq!(parts[3].1.end, HEAD_BYTES);

        // Each block is a picture, at its time.
        let mut number = 0;
        for (_, cluster) in parts.iter().filter(|(id, _)| *id == id::CLUSTER) {
            let inner = children(&bytes, cluster.clone());
            assert_eq!(inner[0].0, id::TIMESTAMP);
            let begins =
                bytes[inner[0].1.clone()].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            for (_, block) in &inner[1..] {
                let block = &bytes[block.clone()];
                let since = i16::from_be_bytes([block[1], block[2]]);
                assert_eq!((block[0], block[3]), (0x81, KEY_PICTURE));
                let at = begins as i64 + i64::from(since);
                assert_eq!(at, ((number * 33_333 + 500) / 1000) as i64);
                assert_eq!(block.len() - 4, 20_000 + number as usize);
                assert!(block[4..].iter().all(|&byte| byte == number as u8));
                number += 1;
            }
        }
        assert_eq!(number, 100);

        // The places are those of the clusters.
        let clusters = parts.iter().filter(|(id, _)| *id == id::CLUSTER);
        let value = |data: &std::ops::Range<usize>| {
            bytes[data.clone()].iter().fold(0, |v, b| v << 8 | usize::from(*b))
        };
        let cues = children(&bytes, parts.last().unwrap().1.clone());
        for ((_, cue), (_, cluster)) in cues.iter().zip(clusters) {
            let point = children(&bytes, cue.clone());
            let place = children(&bytes, point[1].1.clone());
            let at = segment.start + value(&place[1].1);
            assert_eq!(element(&bytes, at), (id::CLUSTER, cluster.clone()));
        }
        let seek = children(&bytes, children(&bytes, parts[0].1.clone())[0].1.clone());
        let (id, _) = element(&bytes, segment.start + value(&seek[1].1));
        assert_eq!(id, id::CUES);
    }

    /// A cut at any byte leaves a film that is whole up to its last whole cluster.
    #[test]
    fn what_a_cut_leaves_is_whole_up_to_there() {
        let (film, file) = film(100);
        let bytes = read(file);
        assert_eq!(bytes.len() as u64, film.bytes());
        let (_, ebml) = element(&bytes, 0);
        let (_, segment) = element(&bytes, ebml.end);
        let parts = children(&bytes, segment);
        assert_eq!(parts.iter().filter(|(id, _)| *id == id::CLUSTER).count(), 3, "the fourth is under way");
        assert!(parts.iter().all(|(_, data)| data.end <= bytes.len()));
    }

    #[test]
    fn an_empty_film_and_times_that_go_back_do_no_harm() {
        let (empty, file) = film(0);
        empty.finish().unwrap();
        assert_eq!(element(&read(file), 0).0, id::EBML);
        let (mut film, _) = film(3);
        film.picture(Duration::ZERO, &[1]).unwrap();
        film.picture(Duration::from_secs(3600), &[1]).unwrap();
        film.finish().unwrap();
    }

    #[test]
    fn lengths_take_as_few_bytes_as_they_need() {
        for (length, wanted) in [
            (0u64, vec![0x80]),
            (126, vec![0xFE]),
            (127, vec![0x40, 0x7F]),
            (16_382, vec![0x7F, 0xFE]),
            (16_383, vec![0x20, 0x3F, 0xFF]),
        ] {
            let mut out = Vec::new();
            put_length(&mut out, length);
            assert_eq!(out, wanted, "{length}");
        }
    }
}
