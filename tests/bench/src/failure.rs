//! What stops a benchmark: a sentence.

use std::fmt;

/// Why a measurement could not be made.
#[derive(Debug)]
pub struct Failure(String);

pub type Result<T> = std::result::Result<T, Failure>;

/// A failure with this text.
pub fn failure(text: impl Into<String>) -> Failure {
    Failure(text.into())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! from {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        }
    )*};
}

from!(
    std::io::Error,
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::string::FromUtf8Error,
    std::sync::mpsc::RecvTimeoutError,
    serde_json::Error,
    distflow_core::Error
);
