//! rumqttc for both versions of the protocol: one maintainer's library, and nothing else knows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::address::{BrokerOptions, Transport};
use super::refusal::{Stage, refusal};
use super::silence::{Count, Order, Owed, Silence, Topical};
use super::socket;
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
    /// The broker does not let this client say something, or hear it.
    NotAllowed {
        what: Topical,
        why: String,
    },
    /// It is over. The kind is `refused` when trying again is no use without a change.
    Ended {
        error: Error,
        stage: Stage,
        /// What was sent first of all that the broker has not acknowledged.
        owed: Option<Topical>,
    },
}

impl Said {
    /// What it takes while it waits.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Message { topic, payload, .. } => topic.len() + payload.len() + size_of::<Self>(),
            _ => 0,
        }
    }
}

/// The version of the protocol that a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    V311,
    V5,
}

/// How long a broker that has not answered in time is listened to once more: this process may have been
/// stopped meanwhile, and its answer be there.
const LAST_LOOK: Duration = Duration::from_secs(1);
/// Messages that may wait on either side of a connection; then the other side has to wait.
const QUEUE: usize = 1_024;
/// Messages of a connection that the broker may owe its acknowledgement. For each there is a place from
/// the beginning, and all are looked through often: with those that MQTT allows for, a connection of
/// MQTT 5 would take 20 MiB and four times the time.
const IN_FLIGHT_MAX: u16 = 100;
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
        spoken: Spoken,
        client_id: &str,
        will_topic: Option<&str>,
        within: Duration,
    ) -> Result<(Self, mpsc::Receiver<Said>)> {
        let (said, hear) = mpsc::channel(QUEUE);
        let client = (client_id, will_topic, within);
        let connection = match spoken {
            Spoken::V311 => Self::V311(v311::open(options, client, said)?),
            Spoken::V5 => Self::V5(v5::open(options, client, said)?),
        };
        Ok((connection, hear))
    }

    pub async fn subscribe(&self, filter: String, qos: u8) -> Result<()> {
        match self {
            Self::V311(client) => client.subscribe(filter, qos).await,
            Self::V5(client) => client.subscribe(filter, qos).await,
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

macro_rules! protocol {
    ($module:ident, $library:ident, $packet:path, $codes:path, $($set:tt)*) => {
        pub(super) mod $module {
            use $library as library;
            use library::{
                AsyncClient, Broker, ConnectionError, Event, LastWill, MqttOptions, Outgoing, PublishOptions, QoS,
            };
            use $packet as Packet;
            use $codes as SubscribeReasonCode;

            use super::*;

            pub struct Client {
                library: AsyncClient,
                order: Order,
                owed: Arc<Owed>,
            }

            fn quality(qos: u8) -> QoS {
                match qos {
                    0 => QoS::AtMostOnce,
                    1 => QoS::AtLeastOnce,
                    _ => QoS::ExactlyOnce,
                }
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
                client: (&str, Option<&str>, Duration),
                said: mpsc::Sender<Said>,
            ) -> Result<Client> {
                let url = options.url();
                let client_id = client.0;
                let invalid = |text: String| Error::new(ErrorKind::InvalidArgument, text);
                let broker = match options.transport {
                    Transport::Tcp | Transport::Tls => {
                        Broker::tcp(options.host.clone(), options.port)
                    }
                    Transport::WebSocket => Broker::websocket(options.whole_url())
                        .map_err(|error| invalid(format!("{url} is no WebSocket's URL: {error}")))?,
                    Transport::SecureWebSocket => {
                        let config = match transport(options)? {
                            library::Transport::Wss(config) => config,
                            _ => return Err(Error::new(ErrorKind::Internal, "no TLS for wss")),
                        };
                        let made = MqttOptions::websocket_with_tls_config(client_id, options.whole_url(), config)
                            .map_err(|error| invalid(format!("{url} is no WebSocket's URL: {error}")))?;
                        return start(made, options, client, said);
                    }
                };
                let mut made = MqttOptions::new(client_id, broker);
                made.set_transport(transport(options)?);
                start(made, options, client, said)
            }

            fn start(
                mut made: MqttOptions,
                options: &BrokerOptions,
                (_, will_topic, wait): (&str, Option<&str>, Duration),
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
                let is_reached = Arc::new(AtomicBool::new(false));
                let (reach, host, port) = (is_reached.clone(), options.host.clone(), options.port);
                made.set_socket_connector(move |_, _| {
                    let (reach, host) = (reach.clone(), host.clone());
                    async move {
                        let stream = socket::connect(&host, port).await?;
                        reach.store(true, Ordering::SeqCst);
                        Ok::<_, std::io::Error>(stream)
                    }
                });
                let owed = Arc::new(Owed::default());
                let owes = owed.clone();
                let patience = Duration::from_secs(options.keep_alive_s.into());
                let (client, mut events) = AsyncClient::builder(made)
                    .capacity(QUEUE)
                    .try_build()
                    .map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
                let (say_sent, sent) = watch::channel(Count::default());
                tokio::spawn(async move {
                    let mut is_connected = false;
                    let mut silence = Silence::new(patience);
                    let ended = |error: Error, stage: Stage, owed: Option<Topical>| {
                        Said::Ended { error, stage, owed }
                    };
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
                                        let _ = said.send(ended(error, Stage::Answered, None)).await;
                                        return;
                                    }
                                }
                            }
                            false => match tokio::time::timeout(wait, events.poll()).await {
                                Ok(polled) => polled,
                                Err(_) => {
                                    let (stage, text) = match is_reached.load(Ordering::SeqCst) {
                                        true => (Stage::Mute, format!(
                                            "{url} took the connection, and said nothing within {} ms: is it a broker?",
                                            wait.as_millis()
                                        )),
                                        false => (Stage::Unreached, format!("the broker {url} does not answer")),
                                    };
                                    let error = Error::new(ErrorKind::Timeout, text);
                                    let _ = said.send(ended(error, stage, None)).await;
                                    return;
                                }
                            },
                        };
                        match &polled {
                            Ok(Event::Incoming(_)) => silence.end(),
                            Ok(Event::Outgoing(Outgoing::Subscribe(number))) => {
                                owes.has_sent(false, *number);
                                say_sent.send_modify(|sent| sent.subscriptions += 1);
                                silence.begin();
                            }
                            Ok(Event::Outgoing(Outgoing::Publish(number))) => {
                                say_sent.send_modify(|sent| sent.publications += 1);
                                // Of quality of service 0, which has no number, nothing comes.
                                if *number > 0 {
                                    owes.has_sent(true, *number);
                                    silence.begin();
                                }
                            }
                            Ok(Event::Outgoing(Outgoing::Unsubscribe(_) | Outgoing::PingReq)) => {
                                silence.begin();
                            }
                            _ => {}
                        }
                        let heard = match polled {
                            Ok(Event::Incoming(Packet::ConnAck(accepted))) => {
                                is_connected = true;
                                match protocol!(@lacks accepted, $($set)*) {
                                    Some(lack) => {
                                        let (stage, error) = refusal(&url, lack);
                                        ended(error, stage, None)
                                    }
                                    None => Said::Connected,
                                }
                            }
                            Ok(Event::Incoming(Packet::SubAck(answer))) => {
                                let subscribed = owes.acknowledged(false, answer.pkid);
                                let is_refused = |code: &&SubscribeReasonCode| {
                                    !matches!(code, SubscribeReasonCode::Success(_))
                                };
                                match (answer.return_codes.iter().find(is_refused), subscribed) {
                                    (Some(code), Some(what)) => Said::NotAllowed {
                                        what,
                                        why: format!("{code:?}"),
                                    },
                                    _ => continue,
                                }
                            }
                            Ok(Event::Incoming(Packet::PubAck(answer))) => {
                                let published = owes.acknowledged(true, answer.pkid);
                                match (protocol!(@refused answer, $($set)*), published) {
                                    (Some(why), Some(what)) => Said::NotAllowed { what, why },
                                    _ => continue,
                                }
                            }
                            Ok(Event::Incoming(Packet::PubComp(answer))) => {
                                owes.acknowledged(true, answer.pkid);
                                continue;
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
                                let (stage, error) = refusal(&url, &format!("{code:?}"));
                                ended(error, stage, None)
                            }
                            Err(error) => {
                                let stage = match (is_connected, is_reached.load(Ordering::SeqCst)) {
                                    (true, _) => Stage::Answered,
                                    // A certificate that is not trusted says nothing of the version.
                                    (false, true) if matches!(error, ConnectionError::Tls(_)) => {
                                        Stage::Answered
                                    }
                                    (false, true) => Stage::Unanswered,
                                    (false, false) => Stage::Unreached,
                                };
                                let text = format!("the connection to the broker {url} failed: {error}");
                                let error = Error::new(ErrorKind::ConnectionFailed, text);
                                ended(error, stage, owes.suspect())
                            }
                        };
                        let is_over = matches!(heard, Said::Ended { .. });
                        if said.send(heard).await.is_err() || is_over {
                            return;
                        }
                    }
                });
                Ok(Client {
                    library: client,
                    order: Order::new(sent),
                    owed,
                })
            }

            impl Client {
                pub async fn subscribe(&self, filter: String, qos: u8) -> Result<()> {
                    self.order.subscribes();
                    self.owed.subscribes(&filter);
                    self.library.subscribe(filter, quality(qos)).await.map_err(closed)
                }

                pub async fn unsubscribe(&self, filter: String) -> Result<()> {
                    self.library.unsubscribe(filter).await.map_err(closed)
                }

                pub async fn publish(&self, publication: Publication) -> Result<()> {
                    let Publication { topic, payload, retain, qos, expires_s } = publication;
                    let options = PublishOptions::new(quality(qos)).retain(retain);
                    let options = protocol!(@expires options, expires_s, $($set)*);
                    self.order.subscriptions().await;
                    self.order.publishes();
                    self.owed.publishes(&topic, qos);
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
        $made.set_inflight(IN_FLIGHT_MAX);
        $made.set_max_packet_size(PACKET_BYTES_MAX as usize, PACKET_BYTES_MAX as usize);
    };
    (@set $made:ident, v5) => {
        $made.set_clean_start(true);
        $made.set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX);
        $made.set_max_packet_size(Some(PACKET_BYTES_MAX));
    };
    // What sessions need and the broker says that it does not have.
    (@lacks $accepted:ident, v311) => {{
        let _ = $accepted;
        None::<&str>
    }};
    (@lacks $accepted:ident, v5) => {
        match &$accepted.properties {
            Some(properties) if properties.retain_available == Some(0) => Some("RetainNotSupported"),
            Some(properties) if properties.max_qos == Some(0) => Some("QoSNotSupported"),
            _ => None,
        }
    };
    // MQTT 3.1.1 has no word for a message that is refused.
    (@refused $answer:ident, v311) => {
        None::<String>
    };
    (@refused $answer:ident, v5) => {
        ($answer.reason as u8 >= 0x80).then(|| format!("{:?}", $answer.reason))
    };
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

protocol!(
    v311,
    rumqttc4,
    library::Packet,
    library::SubscribeReasonCode,
    v311
);
protocol!(
    v5,
    rumqttc5,
    library::mqttbytes::v5::Packet,
    library::mqttbytes::v5::SubscribeReasonCode,
    v5
);
