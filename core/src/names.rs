//! Checked names: what has one of these types was validated once and is trusted afterwards.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::limits;

fn check(what: &str, text: &str, bytes_max: usize) -> Result<()> {
    let problem = if text.is_empty() {
        "must not be empty".to_owned()
    } else if text.len() > bytes_max {
        format!(
            "is {} bytes long, at most {bytes_max} are allowed",
            text.len()
        )
    } else if text.chars().any(|c| c.is_control()) {
        "must not contain control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!("{what} {problem}"),
    ))
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text: not empty, not too long, no control characters.
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                let text = text.as_ref();
                check($what, text, $max)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Whether both are the same name, at the price of a pointer comparison when one
            /// is a clone of the other.
            pub fn is(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The id of a node: 16 lower-case hex digits when generated, any short text otherwise.
    NodeId, "nodeId", limits::NODE_ID_BYTES_MAX
);
name!(
    /// The name a node is found by.
    Alias, "alias", limits::ALIAS_BYTES_MAX
);
name!(
    /// The host a node can be dialled at, as it registered it.
    Host, "host", limits::HOST_BYTES_MAX
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(Alias::new("svc").is_ok());
        assert!(Alias::new("ünï-✓").is_ok());
        for (bad, says) in [
            (String::new(), "must not be empty"),
            ("a\nb".into(), "control characters"),
            ("a\u{7f}".into(), "control characters"),
            ("x".repeat(256), "at most 255"),
        ] {
            let error = Alias::new(&bad).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(NodeId::new("x".repeat(129)).is_err());
    }
}
