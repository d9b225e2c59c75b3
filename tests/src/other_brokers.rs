//! Brokers of others as they are installed: how each is started on a port, in a folder.

use std::path::Path;
use std::process::Command;

use crate::broker::BrokerKind;
use crate::program::project_folder;
use crate::{Child, free_port};

/// A user for those that let in nobody without one.
pub(crate) const USER: &str = "ann:secret@";

/// Where `make test-brokers` installs what comes from npm.
fn installed() -> String {
    let folder = std::env::var("DISTFLOW_BROKERS").unwrap_or_default();
    match folder.is_empty() {
        true => project_folder()
            .join("target/brokers")
            .display()
            .to_string(),
        false => folder,
    }
}

/// The broker's command, and programs that it needs beside it.
pub(crate) fn command(kind: BrokerKind, port: u16, folder: &Path) -> (Command, Vec<Child>) {
    match kind {
        BrokerKind::Nats => (nats(port, folder), Vec::new()),
        BrokerKind::RabbitMq => rabbit_mq(port, folder),
        BrokerKind::Ejabberd => (ejabberd(port, folder), Vec::new()),
        BrokerKind::Aedes => (aedes(port, folder), Vec::new()),
        BrokerKind::InTheBox | BrokerKind::Mosquitto | BrokerKind::PersistentMosquitto => {
            unreachable!("{kind:?} is started elsewhere")
        }
    }
}

/// A program of the system's, wherever it is.
fn program(name: &str) -> Command {
    let path = format!(
        "{}:/usr/sbin:/usr/local/sbin",
        std::env::var("PATH").unwrap_or_default()
    );
    let mut command = Command::new("/usr/bin/env");
    command.env("PATH", path).arg(name);
    command
}

fn nats(port: u16, folder: &Path) -> Command {
    let file = folder.join("nats.conf");
    let text = format!(
        "server_name: test\nlisten: \"127.0.0.1:{}\"\njetstream {{ store_dir: \"{}\" }}\nmqtt {{ listen: \"127.0.0.1:{port}\" }}\n",
        free_port(),
        folder.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = program("nats-server");
    command
        .arg("-c")
        .arg(file)
        .arg("-l")
        .arg(folder.join("log"));
    command
}

/// Erlang's registry of names is its own, on a port of its own.
fn rabbit_mq(port: u16, folder: &Path) -> (Command, Vec<Child>) {
    let names_port = free_port().to_string();
    let mut names = program("epmd");
    names.args(["-port", &names_port, "-address", "127.0.0.1"]);
    let plugins = folder.join("plugins");
    std::fs::write(&plugins, "[rabbitmq_mqtt].").unwrap();
    let file = folder.join("rabbitmq.conf");
    let text = format!(
        "listeners.tcp = none\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\nmqtt.allow_anonymous = true\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut servers = std::fs::read_dir("/usr/lib/rabbitmq/lib")
        .expect("RabbitMQ is missing: apt-get install rabbitmq-server")
        .map(|entry| entry.unwrap().path().join("sbin/rabbitmq-server"));
    // Not the one in the path, which becomes another user.
    let server = servers.find(|path| path.is_file()).unwrap();
    let mut command = Command::new(server);
    command
        .env("HOME", folder)
        .env("ERL_EPMD_PORT", &names_port)
        .env("RABBITMQ_NODENAME", format!("test{port}@localhost"))
        .env("RABBITMQ_DIST_PORT", free_port().to_string())
        .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
        .env("RABBITMQ_LOG_BASE", folder)
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", plugins)
        .env("RABBITMQ_CONFIG_FILE", file)
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        // The program itself instead of a shell that starts it.
        .env("RABBITMQ_ALLOW_INPUT", "1");
    (command, vec![Child::spawn(names)])
}

fn ejabberd(port: u16, folder: &Path) -> Command {
    let listed = Command::new("dpkg")
        .args(["-L", "ejabberd"])
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let code = listed
        .lines()
        .find(|line| line.ends_with("/ebin"))
        .expect("ejabberd is missing: apt-get install ejabberd");
    let file = folder.join("ejabberd.yml");
    let text = format!(
        "hosts: [localhost]\nloglevel: error\nlisten:\n  - port: {port}\n    ip: \"127.0.0.1\"\n    module: mod_mqtt\n\
         auth_method: [anonymous]\nanonymous_protocol: both\nallow_multiple_connections: true\n\
         modules:\n  mod_mqtt:\n    access_publish: {{\"#\": [allow]}}\n    access_subscribe: {{\"#\": [allow]}}\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = program("erl");
    command
        .env("HOME", folder)
        .env("EJABBERD_CONFIG_PATH", file)
        .env("EJABBERD_LOG_PATH", folder.join("ejabberd.log"))
        .env("SPOOL_DIR", folder)
        .args(["-noinput", "-noshell", "-mnesia", "dir"])
        .arg(format!("\"{}\"", folder.join("data").display()))
        .args(["-pa", code, "-s", "ejabberd"]);
    command
}

fn aedes(port: u16, folder: &Path) -> Command {
    let file = folder.join("aedes.mjs");
    let text = format!(
        "import {{ createRequire }} from 'node:module';\nimport {{ createServer }} from 'node:net';\n\
         const {{ Aedes }} = createRequire('{}/package.json')('aedes');\n\
         const broker = await Aedes.createBroker();\ncreateServer(broker.handle).listen({port}, '127.0.0.1');\n",
        installed()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = program("node");
    command.arg(file);
    command
}
