//! What programs give for documents and places.

use crate::crdt::json::Json;
use crate::crdt::path::{self, Path, Segment};
use crate::crdt::value::Value;
use crate::error::Result;

/// The initial document of [`JsonCrdt::new`](super::JsonCrdt::new): JSON text or a value.
pub trait IntoInitial {
    /// The JSON. Error: `invalid_json`.
    fn into_initial(self) -> Result<Json>;
}

impl IntoInitial for &str {
    fn into_initial(self) -> Result<Json> {
        Json::parse(self)
    }
}

impl IntoInitial for Json {
    fn into_initial(self) -> Result<Json> {
        Ok(self)
    }
}

impl IntoInitial for Value {
    fn into_initial(self) -> Result<Json> {
        Ok(self.into())
    }
}

/// What names a place in a document: segments, keys, or text, which is a JSON pointer (RFC 6901) or one
/// key; see [`path::from_text`].
pub trait IntoPath {
    /// The path; the function tells whether there is an array at a path.
    ///
    /// Error: `invalid_argument`.
    fn into_path(self, is_array: &mut dyn FnMut(&[Segment]) -> bool) -> Result<Path>;
}

impl IntoPath for &str {
    fn into_path(self, is_array: &mut dyn FnMut(&[Segment]) -> bool) -> Result<Path> {
        path::from_text(self, is_array)
    }
}

impl IntoPath for &[Segment] {
    fn into_path(self, _: &mut dyn FnMut(&[Segment]) -> bool) -> Result<Path> {
        Ok(self.to_vec())
    }
}

impl IntoPath for Path {
    fn into_path(self, _: &mut dyn FnMut(&[Segment]) -> bool) -> Result<Path> {
        Ok(self)
    }
}

impl<const N: usize> IntoPath for [&str; N] {
    fn into_path(self, _: &mut dyn FnMut(&[Segment]) -> bool) -> Result<Path> {
        Ok(self.into_iter().map(Segment::from).collect())
    }
}
