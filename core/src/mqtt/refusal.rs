//! What a broker's refusal means, and whether trying again can help.

use crate::error::{Error, ErrorKind};

/// How far a connection came that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody took it.
    Unreached,
    /// It was taken, and then broken, or answered by something else than MQTT of this version.
    Unanswered,
    /// It was taken, and nothing came in time.
    Mute,
    /// The broker does not speak this version of the protocol.
    OtherVersion,
    /// The broker refused it, or it broke later.
    Answered,
}

const VERSION: &str = "it does not speak this version of MQTT; try the other one";

/// The error for a code, and how far the connection came.
pub(super) fn refusal(broker: &str, code: &str) -> (Stage, Error) {
    let mut stage = Stage::Answered;
    let (kind, text) = match code {
        "RefusedProtocolVersion" | "UnsupportedProtocolVersion" => {
            stage = Stage::OtherVersion;
            (ErrorKind::Refused, VERSION)
        }
        "BadClientId" | "ClientIdentifierNotValid" => {
            (ErrorKind::Refused, "it does not accept the client id")
        }
        "BadUserNamePassword" => (ErrorKind::Refused, "user name or password are wrong"),
        "NotAuthorized" => (
            ErrorKind::Refused,
            "this user is not authorized; give user name and password, or others",
        ),
        "Banned" => (ErrorKind::Refused, "this client is banned"),
        "BadAuthenticationMethod" => (
            ErrorKind::Refused,
            "it wants another method of authentication",
        ),
        "RetainNotSupported" => (
            ErrorKind::Refused,
            "it keeps no retained messages, and sessions need them",
        ),
        "QoSNotSupported" => (
            ErrorKind::Refused,
            "it has quality of service 0 only, and sessions need 1",
        ),
        "ServiceUnavailable" | "ServerUnavailable" | "ServerBusy" => (
            ErrorKind::ConnectionFailed,
            "it is not available at the moment",
        ),
        "QuotaExceeded" | "ConnectionRateExceeded" => (
            ErrorKind::ConnectionFailed,
            "it has too many connections at the moment",
        ),
        "UseAnotherServer" | "ServerMoved" => (ErrorKind::Refused, "it says to use another broker"),
        other => (ErrorKind::Refused, other),
    };
    let text = format!("the broker {broker} refused the connection: {text}");
    (stage, Error::new(kind, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        let (_, error) = refusal("mqtt://b:1883", "BadUserNamePassword");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.message().contains("password"), "{error}");
        let (_, error) = refusal("mqtt://b:1883", "ServerBusy");
        assert_eq!(error.kind(), ErrorKind::ConnectionFailed);
        let (stage, error) = refusal("b", "Other");
        assert!(stage == Stage::Answered && error.message().contains("Other"));
        assert_eq!(
            refusal("b", "UnsupportedProtocolVersion").0,
            Stage::OtherVersion
        );
    }
}
