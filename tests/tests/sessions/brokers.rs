//! Brokers, and what a test does with them.

use std::process::Command;
use std::time::Duration;

use distflow_core::mqtt::{BrokerOptions, Link, LinkEvent, Version};
use distflow_core::sessions::Sessions;
pub use distflow_tests::{Broker, BrokerKind as Kind};
use distflow_tests::{Child, LIMIT, distflow_program};

/// Runs a test on both brokers, as two tests.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use crate::brokers::{Broker, Kind};

            #[test]
            fn in_the_box() {
                super::$name(&mut Broker::start(Kind::InTheBox));
            }

            #[test]
            fn on_mosquitto() {
                super::$name(&mut Broker::start(Kind::Mosquitto));
            }
        }
    )*};
}
pub(crate) use on_both;

/// What distflow makes of a broker.
pub trait OfBroker {
    fn sessions(&self) -> Sessions {
        self.sessions_in(Version::default())
    }

    /// In a version of the protocol.
    fn sessions_in(&self, version: Version) -> Sessions;

    /// What the broker keeps of a session.
    async fn retained(&self, session: &str) -> Vec<String>;
}

impl OfBroker for Broker {
    fn sessions_in(&self, version: Version) -> Sessions {
        let mut options = BrokerOptions::parse(&self.url()).unwrap();
        options.version = version;
        // Of a machine that has much else to do.
        options.connect_timeout_ms = LIMIT.as_millis() as u64;
        Sessions::new(options).unwrap()
    }

    async fn retained(&self, session: &str) -> Vec<String> {
        let options = BrokerOptions::parse(&self.url()).unwrap();
        let name = format!("look-{}", distflow_core::sessions::instance_id());
        let mut link = Link::new(options, name.clone(), None, 1).unwrap();
        while !matches!(link.next().await, LinkEvent::Connected) {}
        link.subscribe("#".to_owned()).await.unwrap();
        // What is kept comes before what is published then.
        link.subscribe(format!("{name}/end")).await.unwrap();
        link.publish(format!("{name}/end"), b"end".to_vec(), false, 1)
            .await
            .unwrap();
        let mut found = Vec::new();
        loop {
            let event = tokio::time::timeout(LIMIT, link.next()).await;
            let LinkEvent::Message {
                topic,
                payload,
                retained,
            } = event.expect("the end was not heard")
            else {
                continue;
            };
            if topic.ends_with(&format!("{name}/end")) {
                break;
            }
            if topic.contains(session) && retained && !payload.is_empty() {
                found.push(topic);
            }
        }
        link.close(Duration::from_secs(1)).await;
        found
    }
}

/// Runs what a test does, within the limit of all tests.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    block_on_for(10 * LIMIT, future)
}

/// Runs what a test does, within a limit of its own.
pub fn block_on_for<T>(limit: Duration, future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let limited = async { tokio::time::timeout(limit, future).await };
    runtime.block_on(limited).expect("it took too long")
}

/// An instance in a process of its own: `distflow session …`.
pub struct Instance {
    pub child: Child,
}

impl Instance {
    pub fn start(broker: &Broker, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(distflow_program());
        command.args(["session", arguments[0], "--json", "--broker", &broker.url()]);
        command.args(&arguments[1..]);
        command.envs(variables.iter().copied());
        Self {
            child: Child::spawn(command),
        }
    }

    /// The next line that fulfils a condition.
    pub fn until(&self, is_it: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        loop {
            let line: serde_json::Value = serde_json::from_str(&self.child.line()).unwrap();
            if is_it(&line) {
                return line;
            }
        }
    }

    pub fn is_in(&self) -> serde_json::Value {
        self.until(|line| line["event"] == "in")
    }

    pub fn event(&self, name: &str) -> serde_json::Value {
        self.until(|line| line["event"]["type"] == name)
    }
}
