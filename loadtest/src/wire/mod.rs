//! The wire as a simulated phone sees it, as cheap as it can be: frames in place, pushes by their outline, marks in their text.
//!
//! What is not a plain publication is decoded by the protocol's own codec.

pub mod frame;
pub mod mark;
pub mod push;
