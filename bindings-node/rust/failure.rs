//! Errors on their way to JavaScript.

use distflow_core::{Error, interchange};

/// An error that a function throws; its text is the JSON of [`interchange::failure`], of which the
/// TypeScript layer makes a `DistflowError`.
pub fn thrown(error: &Error) -> napi::Error {
    let text = interchange::failure(error).to_string();
    napi::Error::new(napi::Status::GenericFailure, text)
}
