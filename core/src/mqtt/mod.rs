//! MQTT: connections to a broker, and a broker to run (feature `broker`).
//!
//! The protocol is that of a library, rumqttc, behind [`Link`]: the sessions know nothing of it.

pub mod address;
#[cfg(feature = "broker")]
pub mod broker;
mod choice;
pub mod filter;
mod library;
mod link;
mod refusal;
mod silence;
mod socket;

pub use self::address::{BrokerOptions, Version};
pub use self::filter::{Dispatcher, matches};
pub use self::library::Publication;
pub use self::link::{Link, LinkEvent};
pub use self::silence::Topical;
