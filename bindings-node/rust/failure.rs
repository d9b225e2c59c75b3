//! Errors on their way to JavaScript.

use distflow_core::Error;
use serde_json::json;

/// An error as JSON: its code, its text, and the texts of its causes. The TypeScript layer makes
/// a `DistflowError` of it.
pub fn value(error: &Error) -> serde_json::Value {
    let mut causes = Vec::new();
    let mut next = error.cause();
    while let Some(cause) = next {
        causes.push(cause.message().to_owned());
        next = cause.cause();
    }
    json!({"code": error.kind().name(), "message": error.message(), "causes": causes})
}

/// An error that a function throws; its text is the JSON of [`value`].
pub fn thrown(error: &Error) -> napi::Error {
    napi::Error::new(napi::Status::GenericFailure, value(error).to_string())
}
