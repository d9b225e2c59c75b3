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

/// Whether a character can't be seen, or changes how others are shown: control characters, which
/// a terminal obeys, marks of direction, and those without width that joined scripts do without.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Checks a name that this process gives itself, beyond what a PMD accepts from others: people
/// have to be able to tell it from other names.
///
/// Errors: `invalid_argument`, which names the character.
pub fn check_own(what: &str, name: &str) -> Result<()> {
    let bad = |c: &char| is_deceptive(*c) || (c.is_whitespace() && *c != ' ');
    let problem = match name.chars().find(bad) {
        Some(c) if c.is_control() => format!(
            "must not contain control characters, here U+{:04X}",
            u32::from(c)
        ),
        Some(c) => format!(
            "must not contain characters that can't be seen or change the direction of text, here \
             U+{:04X}",
            u32::from(c)
        ),
        None if name.trim() != name => "must not begin or end with a space".to_owned(),
        None => return Ok(()),
    };
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!("{what} {problem}"),
    ))
}

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

    #[test]
    fn own_names_can_be_told_apart_by_people() {
        for good in ["svc", "Player 1", "ünï-✓", "名前"] {
            assert_eq!(check_own("alias", good), Ok(()));
        }
        for (bad, says) in [
            ("svc\u{202e}", "U+202E"),
            ("s\u{200b}vc", "U+200B"),
            ("s\u{a0}vc", "U+00A0"),
            ("a\nb", "control characters, here U+000A"),
            ("svc ", "begin or end with a space"),
        ] {
            let error = check_own("alias", bad).unwrap_err().to_string();
            assert!(
                error.starts_with("alias ") && error.contains(says),
                "{error}"
            );
        }
    }
}
