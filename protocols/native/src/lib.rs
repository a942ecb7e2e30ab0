//! opgate's own side: the built-in showcase backend.

mod showcase;

pub use showcase::{Showcase, check_options};
