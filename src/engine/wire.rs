//! How many fields an ONNX file has, before anything is made of them: two bytes of a file can become hundreds in memory.

use anyhow::{Context, Result, ensure};

/// The largest file, in bytes.
const LARGEST: usize = 64 << 20;
/// The most fields of a file, but for numbers. Reading makes up to a kilobyte of each.
const MOST_FIELDS: usize = 1 << 17;

/// Messages whose fields are counted one by one.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
}

/// What a field of bytes holds.
enum Content {
    Message(Message),
    /// A message, as many fields as its bytes have room for.
    AnyMessage,
    /// Text, numbers, or what is not read.
    Plain,
}

impl Message {
    fn content(self, field: u64) -> Content {
        match (self, field) {
            (Message::Model, 7) => Content::Message(Message::Graph),
            (Message::Graph, 1) => Content::Message(Message::Node),
            (Message::Graph, 5) | (Message::Attribute, 5 | 10) => Content::Message(Message::Tensor),
            (Message::Node, 5) => Content::Message(Message::Attribute),
            (Message::Model, 8 | 14 | 20 | 25)
            | (Message::Graph, 11..=15)
            | (Message::Attribute, 6 | 11 | 15 | 22 | 23)
            | (Message::Tensor, 3 | 13) => Content::AnyMessage,
            _ => Content::Plain,
        }
    }
}

/// That reading the file takes memory within bounds.
pub fn check(bytes: &[u8]) -> Result<()> {
    ensure!(bytes.len() <= LARGEST, "the model has {} bytes; at most {LARGEST} are allowed", bytes.len());
    let mut left = MOST_FIELDS;
    count(bytes, Message::Model, &mut left)
}

fn count(mut bytes: &[u8], message: Message, left: &mut usize) -> Result<()> {
    const DAMAGED: &str = "it is not ONNX, or it is damaged";
    while !bytes.is_empty() {
        let key = varint(&mut bytes).context(DAMAGED)?;
        let skipped = match key & 7 {
            0 => {
                varint(&mut bytes).context(DAMAGED)?;
                0
            }
            1 => 8,
            5 => 4,
            // What is within a group is counted as if it were outside.
            3 | 4 => 0,
            2 => {
                let length = usize::try_from(varint(&mut bytes).context(DAMAGED)?)?;
                let content = bytes.get(..length).context(DAMAGED)?;
                let fields = match message.content(key >> 3) {
                    Content::AnyMessage => 1 + length / 2,
                    _ => 1,
                };
                *left = left
                    .checked_sub(fields)
                    .with_context(|| format!("it has more than {MOST_FIELDS} fields"))?;
                if let Content::Message(message) = message.content(key >> 3) {
                    count(content, message, left)?;
                }
                length
            }
            _ => anyhow::bail!(DAMAGED),
        };
        bytes = bytes.get(skipped..).context(DAMAGED)?;
    }
    Ok(())
}

/// Takes a number of up to ten bytes; `None` if the bytes end within it.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for place in 0..10 {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127) << (7 * place);
        if byte < 128 {
            return Some(value);
        }
    }
    None
}
