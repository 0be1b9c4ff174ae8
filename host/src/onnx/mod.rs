//! Graphs as standard ONNX files, weights embedded: in float ([`float`]) and in int8 QOperator form ([`quantised`]).

pub mod float;
mod proto;
pub mod qdq;
pub mod quantised;

#[cfg(test)]
mod tests;
