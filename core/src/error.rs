//! The one error type of distflow, and the one table of its kinds.

use std::borrow::Cow;
use std::fmt;

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! kinds {
    ($( $(#[$doc:meta])* $kind:ident = $number:literal, $name:literal; )*) => {
        /// What went wrong, stable across versions and languages.
        ///
        /// Numbers come in families with gaps: caller 1-99, life cycle 100-199, network
        /// 200-299, data 300-399, ours 900-999. A number is never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum ErrorKind { $( $(#[$doc])* $kind = $number, )* }

        impl ErrorKind {
            /// Every kind, in numeric order.
            pub const ALL: &'static [ErrorKind] = &[$( ErrorKind::$kind, )*];

            /// The stable `snake_case` name.
            pub const fn name(self) -> &'static str {
                match self { $( ErrorKind::$kind => $name, )* }
            }

            /// The name with a NUL byte behind it, for C.
            pub const fn c_name(self) -> &'static std::ffi::CStr {
                let text: &'static str =
                    match self { $( ErrorKind::$kind => concat!($name, "\0"), )* };
                match std::ffi::CStr::from_bytes_with_nul(text.as_bytes()) {
                    Ok(text) => text,
                    Err(_) => c"unknown",
                }
            }
        }
    };
}

kinds! {
    /// An argument or option is missing, malformed or out of range.
    InvalidArgument = 1, "invalid_argument";
    /// An address beyond loopback was asked for without saying that this is insecure.
    Insecure = 2, "insecure";
    /// A handle is null, stale, foreign or of another type.
    InvalidHandle = 3, "invalid_handle";
    /// The call would wait for the callback that makes it.
    ReentrantCall = 4, "reentrant_call";
    /// The program was built for another version of the C ABI than the library's.
    AbiMismatch = 5, "abi_mismatch";
    /// The node is not started, or has been shut down.
    NotStarted = 100, "not_started";
    /// The object was closed while the call waited.
    Closed = 101, "closed";
    /// This process runs a node already.
    AlreadyRunning = 102, "already_running";
    /// The handle was inherited over `fork`; start a new node in the child.
    Forked = 103, "forked";
    /// No PMD can be reached.
    PmdUnavailable = 200, "pmd_unavailable";
    /// Something answers on the PMD's port, but it is not a PMD.
    NotPmd = 201, "not_pmd";
    /// No executable to launch a PMD with was found, or it failed.
    PmdLaunchFailed = 202, "pmd_launch_failed";
    /// The time for the operation is over; its outcome is unknown.
    Timeout = 203, "timeout";
    /// The target of a send is not registered.
    ResolveFailed = 204, "resolve_failed";
    /// The PMD knows no such node.
    NodeNotFound = 205, "node_not_found";
    /// Another live node holds the alias.
    AliasInUse = 206, "alias_in_use";
    /// Another live connection holds the node id.
    NodeIdInUse = 207, "node_id_in_use";
    /// The PMD refused the request for another reason; the text says which.
    Refused = 208, "refused";
    /// A connection could not be established or broke.
    ConnectionFailed = 209, "connection_failed";
    /// A queue is full; try again later.
    Busy = 210, "busy";
    /// The address or port is taken.
    AddressInUse = 211, "address_in_use";
    /// Any other failure of the operating system.
    Io = 212, "io";
    /// Bytes are not a valid frame.
    InvalidFrame = 300, "invalid_frame";
    /// A frame or payload is larger than the limit.
    TooLarge = 301, "too_large";
    /// Text is not valid JSON, or is nested too deeply.
    InvalidJson = 302, "invalid_json";
    /// A message is valid JSON but not a valid message.
    InvalidMessage = 303, "invalid_message";
    /// Two histories of a shared document are written as one source.
    SourceConflict = 304, "source_conflict";
    /// A defect in distflow; please report it.
    Internal = 900, "internal";
    /// A defect in distflow made code panic; the panic was caught. Please report it.
    Panic = 901, "panic";
}

impl ErrorKind {
    /// The stable number.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// An error: a machine-readable kind, a text for people, and what caused it.
///
/// Where an original program has a text that callers compare, `Display` gives exactly that
/// text; [`Error::cause`] holds what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
    cause: Option<Box<Error>>,
}

impl Error {
    /// Makes an error of a kind with its text.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            cause: None,
        }
    }

    /// Adds what caused this error.
    #[must_use]
    pub fn because(mut self, cause: Error) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// The machine-readable kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text, as `Display` writes it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What is at the bottom of this error: itself if nothing caused it.
    pub fn root(&self) -> &Error {
        self.cause().map_or(self, Error::root)
    }

    /// What caused this error, if that is known.
    pub fn cause(&self) -> Option<&Error> {
        self.cause.as_deref()
    }

    /// `Node not started`, as the originals say it.
    pub fn not_started() -> Self {
        Self::new(ErrorKind::NotStarted, "Node not started")
    }

    /// A node that has ended, or is about to; with the originals' text for it.
    pub fn ended() -> Self {
        Self::new(ErrorKind::Closed, "Node not started")
    }

    /// `Not connected to PMD`, as the originals say it.
    pub fn not_connected() -> Self {
        Self::new(ErrorKind::PmdUnavailable, "Not connected to PMD")
    }

    /// `Request timeout`, as the originals say it.
    pub fn request_timeout() -> Self {
        Self::new(ErrorKind::Timeout, "Request timeout")
    }

    /// `Failed to resolve target: X`, as the originals say it whatever the cause.
    pub fn resolve_failed(target: &str, cause: Error) -> Self {
        Self::new(
            ErrorKind::ResolveFailed,
            format!("Failed to resolve target: {target}"),
        )
        .because(cause)
    }

    /// The handle crossed a `fork`.
    pub fn forked() -> Self {
        Self::new(
            ErrorKind::Forked,
            "this node belongs to the parent process; start a new one after fork",
        )
    }

    /// An I/O error with what was being done.
    pub fn io(doing: &str, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::AddrInUse => ErrorKind::AddressInUse,
            std::io::ErrorKind::ConnectionRefused
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::ConnectionAborted
            | std::io::ErrorKind::NotConnected
            | std::io::ErrorKind::BrokenPipe
            | std::io::ErrorKind::UnexpectedEof => ErrorKind::ConnectionFailed,
            std::io::ErrorKind::TimedOut => ErrorKind::Timeout,
            _ => ErrorKind::Io,
        };
        Self::new(kind, format!("{doing}: {error}"))
    }

    /// Turns the `error` text of a PMD's answer into an error of the right kind.
    pub fn from_pmd(text: &str) -> Self {
        let kind = match text {
            "Node not found" => ErrorKind::NodeNotFound,
            _ if text.starts_with("Alias '") && text.ends_with("already in use") => {
                ErrorKind::AliasInUse
            }
            _ if text.starts_with("Node '") && text.ends_with("already registered") => {
                ErrorKind::NodeIdInUse
            }
            _ => ErrorKind::Refused,
        };
        Self::new(kind, text.to_owned())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_ordered() {
        let numbers: Vec<i32> = ErrorKind::ALL.iter().map(|kind| kind.number()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
        let names: std::collections::BTreeSet<_> =
            ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), ErrorKind::ALL.len());
    }

    #[test]
    fn pmd_texts_become_kinds() {
        let kind = |text| Error::from_pmd(text).kind();
        assert_eq!(kind("Node not found"), ErrorKind::NodeNotFound);
        assert_eq!(kind("Alias 'a' already in use"), ErrorKind::AliasInUse);
        assert_eq!(kind("Node 'a' already registered"), ErrorKind::NodeIdInUse);
        assert_eq!(kind("Unknown message type"), ErrorKind::Refused);
    }
}
