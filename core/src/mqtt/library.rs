//! rumqttc for both versions of the protocol: one maintainer's library, and nothing else knows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::address::{BrokerOptions, Transport, Version};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::SESSION_PAYLOAD_BYTES_MAX;

/// What a connection says.
#[derive(Debug)]
pub(super) enum Said {
    Connected,
    Message {
        topic: String,
        payload: Vec<u8>,
        retained: bool,
    },
    /// It is over. The kind is `refused` when trying again is no use without a change.
    Ended(Error),
}

/// How long a broker that has not answered in time is listened to once more: this process may have been
/// stopped meanwhile, and its answer be there.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// Messages that may wait on either side of a connection; then the other side has to wait.
const QUEUE: usize = 1_024;
/// The largest packet that is taken in: others' games may say more than a session does.
const PACKET_BYTES_MAX: u32 = 4 * SESSION_PAYLOAD_BYTES_MAX as u32;

/// A message to be published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Its topic.
    pub topic: String,
    /// What it says; empty to take away what is retained.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// Quality of service, 0 to 2.
    pub qos: u8,
    /// Seconds after which the broker may drop it. MQTT 3.1.1 knows no such thing; there it stays.
    pub expires_s: Option<u32>,
}

/// How long the broker owes an answer. The library itself asks only when nothing else is said, and
/// sessions always say something.
struct Silence {
    since: Option<tokio::time::Instant>,
    patience: Duration,
}

impl Silence {
    fn new(patience: Duration) -> Self {
        Self {
            since: None,
            patience,
        }
    }

    /// Something was said that is answered.
    fn begin(&mut self) {
        self.since.get_or_insert_with(tokio::time::Instant::now);
    }

    fn end(&mut self) {
        self.since = None;
    }

    /// Waits until it has lasted too long.
    async fn is_too_long(&self) {
        match self.since {
            None => std::future::pending().await,
            Some(since) => tokio::time::sleep_until(since + self.patience).await,
        }
    }
}

/// How much of what was handed to the library it has sent.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    subscriptions: u64,
    publications: u64,
}

/// Keeps the order: the library has different queues for subscriptions and publications, and would
/// let one pass the other.
struct Order {
    subscriptions: AtomicU64,
    publications: AtomicU64,
    sent: watch::Receiver<Count>,
}

impl Order {
    fn new(sent: watch::Receiver<Count>) -> Self {
        Self {
            subscriptions: AtomicU64::new(0),
            publications: AtomicU64::new(0),
            sent,
        }
    }

    /// Waits until every subscription was sent; what is published then comes back by them.
    async fn subscriptions(&self) {
        let wanted = self.subscriptions.load(Ordering::SeqCst);
        self.until(|sent| sent.subscriptions >= wanted).await;
    }

    /// Waits until every publication was sent.
    async fn publications(&self) {
        let wanted = self.publications.load(Ordering::SeqCst);
        self.until(|sent| sent.publications >= wanted).await;
    }

    async fn until(&self, is_so: impl Fn(&Count) -> bool) {
        // It fails when the connection has ended: nothing is sent any more then.
        let _ = self.sent.clone().wait_for(|sent| is_so(sent)).await;
    }
}

/// One connection: it is made once, and not again when it breaks. What was under way is said anew by
/// whoever knows what holds then.
pub(super) enum Connection {
    V311(v311::Client),
    V5(v5::Client),
}

impl Connection {
    /// Begins to connect.
    ///
    /// Error: `invalid_argument` for options, `io` for a certificate's file.
    pub fn open(
        options: &BrokerOptions,
        client_id: &str,
        will_topic: Option<&str>,
    ) -> Result<(Self, mpsc::Receiver<Said>)> {
        let (said, hear) = mpsc::channel(QUEUE);
        let connection = match options.version {
            Version::V311 => Self::V311(v311::open(options, client_id, will_topic, said)?),
            Version::V5 => Self::V5(v5::open(options, client_id, will_topic, said)?),
        };
        Ok((connection, hear))
    }

    pub async fn subscribe(&self, filter: String) -> Result<()> {
        match self {
            Self::V311(client) => client.subscribe(filter).await,
            Self::V5(client) => client.subscribe(filter).await,
        }
    }

    pub async fn unsubscribe(&self, filter: String) -> Result<()> {
        match self {
            Self::V311(client) => client.unsubscribe(filter).await,
            Self::V5(client) => client.unsubscribe(filter).await,
        }
    }

    pub async fn publish(&self, publication: Publication) -> Result<()> {
        match self {
            Self::V311(client) => client.publish(publication).await,
            Self::V5(client) => client.publish(publication).await,
        }
    }

    /// Says good-bye after everything that was said before has been acknowledged; the connection
    /// ends by that, or when the time is over.
    pub async fn disconnect(&self, within: Duration) {
        match self {
            Self::V311(client) => client.disconnect(within).await,
            Self::V5(client) => client.disconnect(within).await,
        }
    }
}

fn read(path: &std::path::Path, what: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::io(
            &format!("cannot read the {what} {}", path.display()),
            &error,
        )
    })
}

/// Certificate authority, and certificate and key of the client.
type Certificates = (Option<Vec<u8>>, Option<(Vec<u8>, Vec<u8>)>);

fn certificates(options: &BrokerOptions) -> Result<Certificates> {
    let ca = options
        .ca_file
        .as_ref()
        .map(|path| read(path, "certificates"))
        .transpose()?;
    let client = match &options.client_certificate {
        None => None,
        Some((certificate, key)) => Some((
            read(certificate, "client's certificate")?,
            read(key, "client's key")?,
        )),
    };
    Ok((ca, client))
}

/// What a broker's refusal means, and whether trying again can help.
fn refusal(broker: &str, code: &str) -> Error {
    let (kind, text) = match code {
        "RefusedProtocolVersion" | "UnsupportedProtocolVersion" => (
            ErrorKind::Refused,
            "it does not speak this version of MQTT; try the other one",
        ),
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
        "ServiceUnavailable" | "ServerUnavailable" | "ServerBusy" => (
            ErrorKind::ConnectionFailed,
            "it is not available at the moment",
        ),
        "QuotaExceeded" | "ConnectionRateExceeded" => (
            ErrorKind::ConnectionFailed,
            "it has too many connections at the moment",
        ),
        "UseAnotherServer" | "ServerMoved" => (ErrorKind::Refused, "it says to use another broker"),
        other => {
            let text = format!("the broker {broker} refused the connection: {other}");
            return Error::new(ErrorKind::Refused, text);
        }
    };
    Error::new(
        kind,
        format!("the broker {broker} refused the connection: {text}"),
    )
}

macro_rules! protocol {
    ($module:ident, $library:ident, $packet:path, $($set:tt)*) => {
        pub(super) mod $module {
            use $library as library;
            use library::{
                AsyncClient, Broker, ConnectionError, Event, LastWill, MqttOptions, Outgoing, PublishOptions, QoS,
            };
            use $packet as Packet;

            use super::*;

            pub struct Client {
                library: AsyncClient,
                order: Order,
            }

            fn closed<E>(_: E) -> Error {
                Error::new(ErrorKind::ConnectionFailed, "the connection to the broker is closed")
            }

            fn transport(options: &BrokerOptions) -> Result<library::Transport> {
                let is_web = options.transport == Transport::SecureWebSocket;
                match options.transport {
                    Transport::Tcp => return Ok(library::Transport::tcp()),
                    Transport::WebSocket => return Ok(library::Transport::ws()),
                    Transport::Tls | Transport::SecureWebSocket => {}
                }
                let (ca, client) = certificates(options)?;
                let failed = |error: library::TlsError| {
                    Error::new(ErrorKind::Io, format!("cannot use the system's certificates: {error}"))
                };
                Ok(match (ca, is_web) {
                    (Some(ca), false) => library::Transport::tls(ca, client, None),
                    (Some(ca), true) => library::Transport::wss(ca, client, None),
                    (None, false) => {
                        library::Transport::try_tls_with_default_config().map_err(failed)?
                    }
                    (None, true) => {
                        library::Transport::try_wss_with_default_config().map_err(failed)?
                    }
                })
            }

            pub fn open(
                options: &BrokerOptions,
                client_id: &str,
                will_topic: Option<&str>,
                said: mpsc::Sender<Said>,
            ) -> Result<Client> {
                let url = options.url();
                let invalid = |text: String| Error::new(ErrorKind::InvalidArgument, text);
                let broker = match options.transport {
                    Transport::Tcp | Transport::Tls => {
                        Broker::tcp(options.host.clone(), options.port)
                    }
                    Transport::WebSocket => Broker::websocket(url.clone())
                        .map_err(|error| invalid(format!("{url} is no WebSocket's URL: {error}")))?,
                    Transport::SecureWebSocket => {
                        let config = match transport(options)? {
                            library::Transport::Wss(config) => config,
                            _ => return Err(Error::new(ErrorKind::Internal, "no TLS for wss")),
                        };
                        let made = MqttOptions::websocket_with_tls_config(client_id, url.clone(), config)
                            .map_err(|error| invalid(format!("{url} is no WebSocket's URL: {error}")))?;
                        return start(made, options, will_topic, said);
                    }
                };
                let mut made = MqttOptions::new(client_id, broker);
                made.set_transport(transport(options)?);
                start(made, options, will_topic, said)
            }

            fn start(
                mut made: MqttOptions,
                options: &BrokerOptions,
                will_topic: Option<&str>,
                said: mpsc::Sender<Said>,
            ) -> Result<Client> {
                made.set_keep_alive(options.keep_alive_s);
                if let Some(name) = &options.username {
                    let password = options.password.clone().unwrap_or_default();
                    made.set_credentials(name.clone(), password);
                }
                protocol!(@set made, $($set)*);
                if let Some(topic) = will_topic {
                    made.set_last_will(protocol!(@will topic, $module));
                }
                let url = options.url();
                let wait = Duration::from_millis(options.connect_timeout_ms);
                let patience = Duration::from_secs(options.keep_alive_s.into());
                #[allow(unused_mut, reason = "one version of the library has it in the options")]
                let (client, mut events) = AsyncClient::builder(made)
                    .capacity(QUEUE)
                    .try_build()
                    .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
                protocol!(@quick events, $($set)*);
                let (say_sent, sent) = watch::channel(Count::default());
                tokio::spawn(async move {
                    let mut is_connected = false;
                    let mut silence = Silence::new(patience);
                    loop {
                        let polled = match is_connected {
                            true => {
                                // Not given up in the middle, which could tear a packet.
                                let mut poll = std::pin::pin!(events.poll());
                                let in_time = tokio::select! {
                                    biased;
                                    polled = &mut poll => Ok(polled),
                                    () = silence.is_too_long() => {
                                        tokio::time::timeout(LAST_LOOK, poll).await
                                    }
                                };
                                match in_time {
                                    Ok(polled) => polled,
                                    Err(_) => {
                                        let text = format!("the broker {url} does not answer any more");
                                        let error = Error::new(ErrorKind::ConnectionFailed, text);
                                        let _ = said.send(Said::Ended(error)).await;
                                        return;
                                    }
                                }
                            }
                            false => match tokio::time::timeout(wait, events.poll()).await {
                                Ok(polled) => polled,
                                Err(_) => {
                                    let text = format!("the broker {url} does not answer");
                                    let error = Error::new(ErrorKind::Timeout, text);
                                    let _ = said.send(Said::Ended(error)).await;
                                    return;
                                }
                            },
                        };
                        match &polled {
                            Ok(Event::Incoming(_)) => silence.end(),
                            Ok(Event::Outgoing(Outgoing::Subscribe(_))) => {
                                say_sent.send_modify(|sent| sent.subscriptions += 1);
                                silence.begin();
                            }
                            Ok(Event::Outgoing(Outgoing::Publish(number))) => {
                                say_sent.send_modify(|sent| sent.publications += 1);
                                // Of quality of service 0, which has no number, nothing comes.
                                if *number > 0 {
                                    silence.begin();
                                }
                            }
                            Ok(Event::Outgoing(Outgoing::Unsubscribe(_) | Outgoing::PingReq)) => {
                                silence.begin();
                            }
                            _ => {}
                        }
                        let heard = match polled {
                            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                                is_connected = true;
                                Said::Connected
                            }
                            Ok(Event::Incoming(Packet::Publish(publish))) => {
                                let Ok(topic) = String::from_utf8(publish.topic.to_vec()) else {
                                    continue;
                                };
                                Said::Message {
                                    topic,
                                    payload: publish.payload.to_vec(),
                                    retained: publish.retain,
                                }
                            }
                            Ok(_) => continue,
                            Err(ConnectionError::ConnectionRefused(code)) => {
                                Said::Ended(refusal(&url, &format!("{code:?}")))
                            }
                            Err(error) => Said::Ended(Error::new(
                                ErrorKind::ConnectionFailed,
                                format!("the connection to the broker {url} failed: {error}"),
                            )),
                        };
                        let is_over = matches!(heard, Said::Ended(_));
                        if said.send(heard).await.is_err() || is_over {
                            return;
                        }
                    }
                });
                Ok(Client {
                    library: client,
                    order: Order::new(sent),
                })
            }

            impl Client {
                pub async fn subscribe(&self, filter: String) -> Result<()> {
                    self.order.subscriptions.fetch_add(1, Ordering::SeqCst);
                    self.library.subscribe(filter, QoS::AtLeastOnce).await.map_err(closed)
                }

                pub async fn unsubscribe(&self, filter: String) -> Result<()> {
                    self.library.unsubscribe(filter).await.map_err(closed)
                }

                pub async fn publish(&self, publication: Publication) -> Result<()> {
                    let Publication { topic, payload, retain, qos, expires_s } = publication;
                    let qos = match qos {
                        0 => QoS::AtMostOnce,
                        1 => QoS::AtLeastOnce,
                        _ => QoS::ExactlyOnce,
                    };
                    let options = PublishOptions::new(qos).retain(retain);
                    let options = protocol!(@expires options, expires_s, $($set)*);
                    self.order.subscriptions().await;
                    self.order.publications.fetch_add(1, Ordering::SeqCst);
                    self.library.publish(topic, payload, options).await.map_err(closed)
                }

                pub async fn disconnect(&self, within: Duration) {
                    // Otherwise it would pass what waits for a place in the window.
                    let _ = tokio::time::timeout(within, self.order.publications()).await;
                    let _ = self.library.disconnect_with_timeout(within).await;
                }
            }
        }
    };
    (@set $made:ident, v311) => {
        $made.set_clean_session(true);
        $made.set_max_packet_size(PACKET_BYTES_MAX as usize, PACKET_BYTES_MAX as usize);
    };
    (@set $made:ident, v5) => {
        $made.set_clean_start(true);
        let mut network = rumqttc5::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        $made.set_network_options(network);
        $made.set_max_packet_size(Some(PACKET_BYTES_MAX));
    };
    // What is said shortly after something else is not to wait for its acknowledgement.
    (@quick $events:ident, v311) => {
        let mut network = rumqttc4::NetworkOptions::new();
        network.set_tcp_nodelay(true);
        $events.set_network_options(network);
    };
    (@quick $events:ident, v5) => {};
    (@expires $options:ident, $expires_s:ident, v311) => {{
        let _ = $expires_s;
        $options
    }};
    (@expires $options:ident, $expires_s:ident, v5) => {
        match $expires_s {
            None => $options,
            expires_s => $options.properties(library::mqttbytes::v5::PublishProperties {
                message_expiry_interval: expires_s,
                ..Default::default()
            }),
        }
    };
    (@will $topic:ident, v311) => {
        LastWill::new($topic, Vec::new(), QoS::AtLeastOnce, true)
    };
    (@will $topic:ident, v5) => {
        LastWill::new($topic, Vec::new(), QoS::AtLeastOnce, true, None)
    };
}

protocol!(v311, rumqttc4, library::Packet, v311);
protocol!(v5, rumqttc5, library::mqttbytes::v5::Packet, v5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        let error = refusal("mqtt://b:1883", "BadUserNamePassword");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.message().contains("password"), "{error}");
        let error = refusal("mqtt://b:1883", "ServerBusy");
        assert_eq!(error.kind(), ErrorKind::ConnectionFailed);
        assert!(refusal("b", "Other").message().contains("Other"));
    }
}
