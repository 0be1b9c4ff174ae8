//! CPU kernels for training, `f32`, NCHW. Each works on plain slices and spreads planes or images over rayon's
//! threads; `ops::flex` gives them to burn.

pub mod batch_norm;
pub mod dense;
pub mod depthwise;
mod geometry;
pub mod pointwise;
#[expect(unsafe_code, reason = "products of matrices by pointer")]
mod products;
#[expect(unsafe_code, reason = "memory that is written whole before it is read")]
mod spread;
pub mod store;

pub use geometry::Geometry;

/// `x [N, C, H, W] * weight [F, C / groups, k, k]` → `[N, F, H', W']`.
pub fn conv2d(x: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    if g.is_pointwise() {
        pointwise::forward(x, weight, g)
    } else if g.is_depthwise() {
        depthwise::forward(x, weight, g)
    } else {
        dense::forward(x, weight, g)
    }
}

/// The gradient towards `x`.
pub fn conv2d_grad_input(grad: &[f32], weight: &[f32], g: &Geometry) -> Vec<f32> {
    if g.is_pointwise() {
        pointwise::grad_input(grad, weight, g)
    } else if g.is_depthwise() {
        depthwise::grad_input(grad, weight, g)
    } else {
        dense::grad_input(grad, weight, g)
    }
}

/// The gradient towards `weight`.
pub fn conv2d_grad_weight(grad: &[f32], x: &[f32], g: &Geometry) -> Vec<f32> {
    if g.is_pointwise() {
        pointwise::grad_weight(grad, x, g)
    } else if g.is_depthwise() {
        depthwise::grad_weight(grad, x, g)
    } else {
        dense::grad_weight(grad, x, g)
    }
}
