//! OTLP as it is sent, read in place: no object tree is built.

mod attributes;

pub use self::attributes::{Attributes, Value};
