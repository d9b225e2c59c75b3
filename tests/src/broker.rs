//! Brokers of MQTT on free ports, which end with their tests.

use std::process::Command;
use std::time::Duration;

use crate::other_brokers;
use crate::{Child, LIMIT, TempFolder, distflow_program, free_port, wait_until};

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// `distflow broker start`.
    InTheBox,
    /// Mosquitto, as it is installed.
    Mosquitto,
    /// It keeps what is retained over a restart.
    PersistentMosquitto,
    /// nats-server with JetStream.
    Nats,
    /// RabbitMQ with its plugin for MQTT.
    RabbitMq,
    /// ejabberd's module for MQTT.
    Ejabberd,
    /// aedes for Node.js.
    Aedes,
}

impl BrokerKind {
    /// How long it may take to start.
    fn start_within(self) -> Duration {
        match self {
            Self::RabbitMq => 8 * LIMIT,
            _ => LIMIT,
        }
    }
}

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    kind: BrokerKind,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Where it keeps what it has.
    pub folder: TempFolder,
    more: String,
    child: Option<Child>,
    /// What it needs beside it.
    helpers: Vec<Child>,
}

impl Broker {
    /// Starts one and waits until it answers.
    pub fn start(kind: BrokerKind) -> Self {
        Self::configured(kind, |_, _| String::new())
    }

    /// With further lines in Mosquitto's configuration, which are made for a port and a folder.
    pub fn configured(kind: BrokerKind, more: impl Fn(u16, &TempFolder) -> String) -> Self {
        let mut folder = TempFolder::new();
        // Another process may take the port before the broker does.
        for _ in 0..10 {
            let port = free_port();
            let more = more(port, &folder);
            let mut broker = Self {
                kind,
                port,
                folder,
                more,
                child: None,
                helpers: Vec::new(),
            };
            if broker.serve() {
                return broker;
            }
            folder = broker.folder;
        }
        panic!(
            "no broker could be started: is mosquitto installed (apt-get install mosquitto), and the \
             program built with the feature `broker`?"
        );
    }

    fn serve(&mut self) -> bool {
        let command = match self.kind {
            BrokerKind::InTheBox => {
                let mut command = Command::new(distflow_program());
                command.args(["broker", "start", "--mqtt-port", &self.port.to_string()]);
                command
            }
            BrokerKind::Mosquitto | BrokerKind::PersistentMosquitto => self.mosquitto(),
            other => {
                let (command, helpers) =
                    other_brokers::command(other, self.port, self.folder.path());
                self.helpers = helpers;
                command
            }
        };
        let mut child = Child::spawn(command);
        let mut has_ended = false;
        let answers = wait_until(self.kind.start_within(), || {
            has_ended = child.wait(Duration::ZERO).is_some();
            has_ended || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        // Or somebody else answers.
        if has_ended || !answers || child.wait(Duration::ZERO).is_some() {
            child.kill();
            return false;
        }
        self.child = Some(child);
        true
    }

    fn mosquitto(&self) -> Command {
        let folder = self.folder.path();
        let mut lines = vec![
            "log_dest none".to_owned(),
            format!(
                "persistence {}",
                self.kind == BrokerKind::PersistentMosquitto
            ),
            format!("persistence_location {}/", folder.display()),
            "autosave_interval 1".to_owned(),
            "autosave_on_changes true".to_owned(),
        ];
        if self.more.contains("listener") {
            lines.push(self.more.clone());
        } else {
            lines.push(format!("listener {} 127.0.0.1", self.port));
            lines.push("allow_anonymous true".to_owned());
        }
        let file = folder.join("mosquitto.conf");
        std::fs::write(&file, lines.join("\n")).unwrap();
        // As root it would become another user, who can't write to the folder.
        let user = if is_root() { "\nuser root" } else { "" };
        std::fs::write(&file, format!("{}{user}\n", lines.join("\n"))).unwrap();
        let path = format!(
            "{}:/usr/sbin:/usr/local/sbin",
            std::env::var("PATH").unwrap_or_default()
        );
        let mut command = Command::new("/usr/bin/env");
        command
            .env("PATH", path)
            .arg("mosquitto")
            .arg("-c")
            .arg(file);
        command
    }

    /// Which program it is.
    pub fn kind(&self) -> BrokerKind {
        self.kind
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.child.take().unwrap().kill();
    }

    /// On the same port.
    pub fn start_again(&mut self) {
        let mut served = false;
        assert!(wait_until(LIMIT, || {
            served = served || self.serve();
            served
        }));
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        let user = match self.kind {
            BrokerKind::Ejabberd => other_brokers::USER,
            _ => "",
        };
        format!("mqtt://{user}127.0.0.1:{}", self.port)
    }
}

fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}
