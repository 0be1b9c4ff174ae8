//! Graphs as standard ONNX files, weights embedded: in float ([`float`]) and in int8 QOperator form ([`quantised`]), which
//! [`import`] reads back.

pub mod float;
pub mod import;
mod proto;
pub mod qdq;
pub mod quantised;

#[cfg(test)]
mod tests;
