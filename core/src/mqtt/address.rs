//! Where a broker is, and how it is spoken to.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind, Result};

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// MQTT 5, or 3.1.1 where the broker does not speak it.
    #[default]
    Auto,
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.
    V5,
}

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `mqtt://`
    Tcp,
    /// `mqtts://`
    Tls,
    /// `ws://`
    WebSocket,
    /// `wss://`
    SecureWebSocket,
}

/// A broker and how it is spoken to. Secrets are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerOptions {
    /// How the bytes travel.
    pub transport: Transport,
    /// Name or address.
    pub host: String,
    /// Default 1883, with TLS 8883, with WebSocket 80, with both 443.
    pub port: u16,
    /// Of a WebSocket. Default `/mqtt`.
    pub path: String,
    /// Default [`Version::Auto`].
    pub version: Version,
    /// Default none.
    pub username: Option<String>,
    /// Default none.
    pub password: Option<String>,
    /// File with the certificates that are trusted (PEM); `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Files with a certificate for this client and its key (PEM).
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Seconds after which silence is broken; the broker takes 1.5 times as many for the end. Default
    /// 10, at least 2.
    pub keep_alive_s: u16,
    /// Milliseconds within which a connection has to be there. Default 10,000.
    pub connect_timeout_ms: u64,
}

impl fmt::Debug for BrokerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerOptions")
            .field("url", &self.url())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

fn invalid(text: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, text)
}

impl BrokerOptions {
    /// Reads `mqtt://host[:port]`, or with `mqtts`, `ws` or `wss`, and `user:password@` before the host,
    /// in percent encoding (RFC 3986). A host without a scheme is one of `mqtt`.
    ///
    /// Error: `invalid_argument`, which never repeats the password.
    pub fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("mqtt", url));
        // Schemes have no case.
        let scheme = &*scheme.to_ascii_lowercase();
        let (transport, default_port) = match scheme {
            "mqtt" | "tcp" => (Transport::Tcp, 1883),
            "mqtts" | "ssl" => (Transport::Tls, 8883),
            "ws" => (Transport::WebSocket, 80),
            "wss" => (Transport::SecureWebSocket, 443),
            _ => {
                return Err(invalid(format!(
                    "a broker's URL begins with mqtt, mqtts, ws or wss, not {scheme:?}"
                )));
            }
        };
        let is_web = matches!(transport, Transport::WebSocket | Transport::SecureWebSocket);
        if has_raw_secret(rest, is_web) {
            return Err(invalid(
                "in the user or the password of a broker's URL, '/', '?' and '#' must be written as %2F, %3F \
                 and %23"
                    .to_owned(),
            ));
        }
        let (authority, path) = match rest.find(['/', '?', '#']) {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        // What stands there may be a secret: its names say enough.
        if let Some((_, query)) = path.split_once('?').filter(|_| !is_web) {
            let names: Vec<&str> = query
                .split('&')
                .filter_map(|pair| pair.split('=').next())
                .collect();
            return Err(invalid(format!(
                "{scheme} has no options behind '?', but {} was given: give them as options of their own",
                names.join(", ")
            )));
        }
        if !is_web && !matches!(path, "" | "/") {
            return Err(invalid(format!(
                "{scheme} has no path, but {path:?} was given"
            )));
        }
        let decoded = |text: &str| crate::session::topic::decode(text);
        let (username, password) = match user.map(|user| user.split_once(':').unwrap_or((user, "")))
        {
            None => (None, None),
            Some((name, password)) => (
                Some(decoded(name)),
                Some(decoded(password)).filter(|password| !password.is_empty()),
            ),
        };
        Ok(Self {
            transport,
            host: host.to_owned(),
            port: port.unwrap_or(default_port),
            path: match path {
                "" | "/" => "/mqtt".to_owned(),
                query if query.starts_with('?') => format!("/mqtt{query}"),
                path => path.to_owned(),
            },
            version: Version::default(),
            username,
            password,
            ca_file: None,
            client_certificate: None,
            keep_alive_s: 10,
            connect_timeout_ms: 10_000,
        })
    }

    /// The broker's URL, without user and password, and without what stands behind '=' in a query, which
    /// may be a token.
    pub fn url(&self) -> String {
        self.url_with(&self.shown_path())
    }

    /// The same with all of the path, to connect with and not to show.
    pub(super) fn whole_url(&self) -> String {
        self.url_with(&self.path)
    }

    fn url_with(&self, path: &str) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let port = self.port;
        match self.transport {
            Transport::Tcp => format!("mqtt://{host}:{port}"),
            Transport::Tls => format!("mqtts://{host}:{port}"),
            Transport::WebSocket => format!("ws://{host}:{port}{path}"),
            Transport::SecureWebSocket => format!("wss://{host}:{port}{path}"),
        }
    }

    fn shown_path(&self) -> String {
        let Some((path, query)) = self.path.split_once('?') else {
            return self.path.clone();
        };
        let shown = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}=…"),
            // Without a name, it may be one whole.
            None => "…".to_owned(),
        });
        format!("{path}?{}", shown.collect::<Vec<_>>().join("&"))
    }

    /// Whether what travels can be read by others on the way.
    pub fn is_plain(&self) -> bool {
        matches!(self.transport, Transport::Tcp | Transport::WebSocket)
    }

    /// Error: `invalid_argument`, which names the option.
    pub fn check(&self) -> Result<()> {
        if self.keep_alive_s < 2 {
            return Err(invalid(format!(
                "keep_alive_s must be at least 2, not {}",
                self.keep_alive_s
            )));
        }
        if self.connect_timeout_ms == 0 {
            return Err(invalid("connect_timeout_ms must be at least 1".to_owned()));
        }
        if self.password.is_some() && self.username.is_none() {
            return Err(invalid(
                "a password without a username was given".to_owned(),
            ));
        }
        if self.client_certificate.is_some() && self.ca_file.is_none() {
            let text =
                "a client's certificate needs ca_file as well: the certificates that are trusted";
            return Err(invalid(text.to_owned()));
        }
        let has_certificates = self.ca_file.is_some() || self.client_certificate.is_some();
        if has_certificates && self.is_plain() {
            return Err(invalid(format!(
                "certificates were given, but {} is without TLS: use mqtts or wss",
                self.url()
            )));
        }
        Ok(())
    }
}

/// Tells whether a user or a password has a letter that ends the part which it stands in: there is an
/// '@' behind that letter. Before a path, which only a WebSocket has, stands a host.
fn has_raw_secret(rest: &str, is_web: bool) -> bool {
    let Some(end) = rest.find(['/', '?', '#']) else {
        return false;
    };
    let (authority, behind) = rest.split_at(end);
    let is_place = authority.contains('@') || (is_web && host_and_port(authority).is_ok());
    behind.contains('@') && !is_place
}

fn host_and_port(place: &str) -> Result<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest
            .split_once(']')
            .ok_or_else(|| invalid(format!("{place:?} lacks the closing bracket of an address")))?;
        (
            host,
            rest.strip_prefix(':')
                .or((!rest.is_empty()).then_some(rest)),
        )
    } else {
        match place.split_once(':') {
            // An address of version 6 without brackets has no port.
            Some(_) if place.parse::<std::net::Ipv6Addr>().is_ok() => (place, None),
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    let is_wrong = |c: char| c.is_whitespace() || c.is_control() || c == '@';
    if host.is_empty() || host.len() > 255 || host.contains(is_wrong) {
        return Err(invalid(format!("{host:?} is no host of a broker")));
    }
    let number = |port: &str| {
        let number = port.parse::<u16>().ok().filter(|number| *number > 0);
        number.ok_or_else(|| {
            // Where the host was forgotten, the password stands here.
            let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let given = match is_number {
                true => port,
                false => "what was given",
            };
            invalid(format!("a broker's port must be 1 to 65535, not {given}"))
        })
    };
    Ok((host, port.map(number).transpose()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn urls_are_read() {
        for (url, shown) in [
            ("localhost", "mqtt://localhost:1883"),
            ("10.0.0.7:1884", "mqtt://10.0.0.7:1884"),
            ("mqtt://[::1]:1884/", "mqtt://[::1]:1884"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
            ("::1", "mqtt://[::1]:1883"),
            ("MQTT://B.example", "mqtt://B.example:1883"),
            ("Wss://b.example/x?y=z", "wss://b.example:443/x?y=…"),
            ("ws://b.example?y=z", "ws://b.example:80/mqtt?y=…"),
            ("mqtts://b.example", "mqtts://b.example:8883"),
            ("ws://b.example", "ws://b.example:80/mqtt"),
            ("wss://b.example:8080/x/y", "wss://b.example:8080/x/y"),
        ] {
            assert_eq!(BrokerOptions::parse(url).unwrap().url(), shown, "{url}");
        }
        let options = BrokerOptions::parse("mqtt://ann%40x:p%3A%2Fw@b").unwrap();
        assert_eq!(options.username.as_deref(), Some("ann@x"));
        assert_eq!(options.password.as_deref(), Some("p:/w"));
        assert!(!format!("{options:?}").contains("p:/w"));
        let options = BrokerOptions::parse("wss://b/x?token=secret&secret").unwrap();
        assert_eq!(options.path, "/x?token=secret&secret");
        assert!(!options.url().contains("secret"));
    }

    #[test]
    fn what_is_wrong_is_named_without_the_password() {
        for (url, text) in [
            ("http://u:secret@b", "begins with mqtt"),
            ("mqtt://u:secret@", "no host"),
            ("mqtt://u:secret@b:70000", "1 to 65535, not 70000"),
            ("mqtt://u:secret", "1 to 65535, not what was given"),
            ("mqtt://u:se/secret@b", "written as %2F"),
            ("mqtt://u:12/secret@b", "written as %2F"),
            ("wss://u:secret#@b", "written as %2F"),
            ("mqtt://u:secret@b:0", "1 to 65535"),
            ("mqtt://u:secret@b/path", "has no path"),
            (
                "mqtt://b?clientId=secret&x=1",
                "behind '?', but clientId, x was given",
            ),
            ("mqtt://b/?clientId=secret", "but clientId was given"),
            ("mqtt://b#x", "has no path, but \"#x\""),
            ("mqtt://[::1", "closing bracket"),
            ("", "no host"),
            ("a b", "no host"),
        ] {
            let error = BrokerOptions::parse(url).unwrap_err();
            assert!(error.message().contains(text), "{url}: {error}");
            assert!(!error.message().contains("secret"), "{error}");
        }
        let mut options = BrokerOptions::parse("mqtt://b").unwrap();
        options.ca_file = Some("ca.pem".into());
        assert!(
            options
                .check()
                .unwrap_err()
                .message()
                .contains("without TLS")
        );
    }
}
