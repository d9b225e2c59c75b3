//! Game sessions for programs: seats and lists of the module [`crate::session`] on connections of
//! their own.

mod game;
mod list;
mod local;
mod play;
mod task;

use std::time::Duration;

pub use self::game::GameMessage;
pub use self::list::SessionList;
pub use self::local::moment;
pub use self::play::Session;
pub use self::task::View;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::random_u64;
use crate::mqtt::{BrokerOptions, Link, Publication};
use crate::session::seat::{Action, CreateOptions, Refusal, Seat, Timing};

/// Sessions on one broker. Nothing is connected until a session or the list is asked for; each has a
/// connection of its own, so that the broker can tell who is gone.
///
/// ```no_run
/// # async fn example() -> distflow_core::Result<()> {
/// use distflow_core::mqtt::BrokerOptions;
/// use distflow_core::sessions::Sessions;
///
/// let sessions = Sessions::new(BrokerOptions::parse("mqtt://localhost")?)?;
/// let session = sessions.create(None, Default::default()).await?;
/// println!("{} is open", session.id());
/// session.close().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Sessions {
    broker: BrokerOptions,
    timing: Timing,
}

/// A new instance's id, as the originals make them: 32 hexadecimal digits.
pub fn instance_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A new session's id.
pub fn session_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl Sessions {
    /// Sessions on a broker.
    ///
    /// Error: `invalid_argument`, which names the option.
    pub fn new(broker: BrokerOptions) -> Result<Self> {
        broker.check()?;
        if broker.is_plain() && !crate::net::is_loopback(&broker.host) {
            let url = broker.url();
            tracing::warn!(
                url,
                "the connection to the broker is not encrypted: use mqtts or wss"
            );
        }
        Ok(Self {
            broker,
            timing: Timing::default(),
        })
    }

    /// The broker.
    pub fn broker(&self) -> &BrokerOptions {
        &self.broker
    }

    /// Creates a session, of this id or a new one. When this returns, its document was read back from
    /// the broker.
    ///
    /// Errors: `invalid_argument`; `refused` by the broker, or when somebody else has a session of
    /// this id; `timeout` when the broker is not reached within
    /// [`BrokerOptions::connect_timeout_ms`].
    pub async fn create(&self, id: Option<&str>, options: CreateOptions) -> Result<Session> {
        self.create_as(id, &instance_id(), options).await
    }

    /// The same as a certain instance.
    ///
    /// Errors: as [`Sessions::create`].
    pub async fn create_as(
        &self,
        id: Option<&str>,
        instance: &str,
        options: CreateOptions,
    ) -> Result<Session> {
        let made = session_id();
        let seat = Seat::create(
            id.unwrap_or(&made),
            instance,
            &options,
            self.timing,
            random_u64(),
            moment(),
        )?;
        let session = Session::open(seat, self.broker.clone())?;
        session.begun().await?;
        Ok(session)
    }

    /// Joins a session. When this returns, the creator's document names this instance.
    ///
    /// Errors: `invalid_argument`; `refused` by the broker, or by the session, with the reason;
    /// `timeout` when the broker is not reached.
    pub async fn join(&self, id: &str) -> Result<Session> {
        self.join_as(id, &instance_id()).await
    }

    /// The same as a certain instance.
    ///
    /// Errors: as [`Sessions::join`].
    pub async fn join_as(&self, id: &str, instance: &str) -> Result<Session> {
        let seat = Seat::join(id, instance, self.timing, random_u64())?;
        let session = Session::open(seat, self.broker.clone())?;
        let Err(refused) = session.begun().await else {
            return Ok(session);
        };
        // An original's may be under the id as it is.
        let is_unknown = refused.message() == Refusal::Unknown.text();
        if is_unknown
            && let Some(seat) = Seat::join_as_it_is(id, instance, self.timing, random_u64())
        {
            let session = Session::open(seat, self.broker.clone())?;
            return match session.begun().await {
                Ok(()) => Ok(session),
                // The broker may not even take such a topic.
                Err(_) => Err(refused),
            };
        }
        Err(refused)
    }

    /// Looks at a session without being in it.
    ///
    /// Errors: as [`Sessions::join`].
    pub async fn observe(&self, id: &str) -> Result<Session> {
        let seat = Seat::observe(id, &instance_id(), self.timing, random_u64())?;
        let session = Session::open(seat, self.broker.clone())?;
        session.connected().await?;
        Ok(session)
    }

    /// Waits on this thread for what one of these gives, for hosts without a runtime.
    ///
    /// Errors: those of what is waited for; `io` when the network thread cannot be started, `forked`.
    pub fn wait<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let done = crate::runtime::Handle::current()?.wait(future, None);
        done.unwrap_or_else(|| Err(Error::request_timeout()))
    }

    /// The list of sessions on the broker, which keeps itself up to date.
    ///
    /// Errors: `refused` by the broker; `timeout` when it is not reached.
    pub async fn list(&self) -> Result<SessionList> {
        let list = SessionList::start(self.broker.clone(), self.timing)?;
        list.connected().await?;
        Ok(list)
    }
}

/// When a connection has to be there: a bit after the link itself has given up an attempt, and can say
/// why.
fn connect_by_ms(broker: &BrokerOptions) -> u64 {
    const GRACE_MS: u64 = 1_000;
    let wait_ms = broker.connect_timeout_ms.saturating_add(GRACE_MS);
    moment().mono_ms.saturating_add(wait_ms)
}

/// What is asked of a session that has ended.
fn over() -> Error {
    Error::new(ErrorKind::Closed, "the session is over")
}

/// Does what a machine wants. Should the connection break, the link says so itself, and all is said
/// anew then.
async fn carry_out(link: &mut Link, action: Action) {
    let done = match action {
        Action::Subscribe(filter) => link.subscribe(filter).await,
        Action::SubscribeLoosely(filter) => link.subscribe_with(filter, 0).await,
        Action::Unsubscribe(filter) => link.unsubscribe(filter).await,
        Action::Publish {
            topic,
            payload,
            retain,
            expires_s,
        } => {
            let publication = Publication {
                topic,
                payload,
                retain,
                qos: 1,
                expires_s,
            };
            link.send(publication).await
        }
    };
    if let Err(error) = done {
        tracing::debug!(%error, "not sent");
    }
}

/// How long a session that is left waits for the broker's acknowledgements.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
