//! `distflow broker`: a broker for games on a LAN.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::cli::args::{BrokerCommand, BrokerStart};
use crate::cli::output::{WRONG_USE, err_line, out_line};
use crate::loopback;

/// What a broker prints when it serves, before its address.
pub(super) const READY_LINE: &str = "Broker started on ";

pub(super) fn run(command: &BrokerCommand, json: bool) -> u8 {
    let BrokerCommand::Start(options) = command;
    let listen = options.listen.unwrap_or_else(own_address);
    if !listen.is_loopback() {
        if options.users.is_some() {
            err_line(&format!(
                "WARNING: listening on {listen}: passwords and messages are not encrypted on their way"
            ));
        } else if options.insecure {
            err_line(&format!(
                "WARNING: listening on {listen} without authentication (--insecure)"
            ));
        } else {
            err_line(&format!(
                "Error: {listen} is reached by others, and the broker asks nobody for a password. Use --users \
                 FILE, or --insecure if everybody on that network may read and write everything."
            ));
            return WRONG_USE;
        }
    }
    serve(options, listen, json)
}

/// The first address of `localhost`: one listener, and one address to tell others.
fn own_address() -> IpAddr {
    let addresses = loopback::addresses(0);
    let first = addresses.first().map(SocketAddr::ip);
    first.unwrap_or(Ipv4Addr::LOCALHOST.into())
}

#[cfg(feature = "broker")]
fn serve(options: &BrokerStart, listen: IpAddr, json: bool) -> u8 {
    use crate::cli::output;

    match start(options, listen) {
        Err(error) => {
            err_line(&format!("Error: {error}"));
            output::exit_code(&error)
        }
        Ok(broker) => {
            output::serve(json);
            say_started(broker.addresses(), json);
            match broker.wait() {
                Ok(()) => {
                    output::end();
                    // Whether anyone reads what it prints is no matter of its success.
                    output::begin();
                    0
                }
                Err(error) => {
                    err_line(&format!("Error: {error}"));
                    1
                }
            }
        }
    }
}

/// Starts a broker that ends with SIGINT or SIGTERM.
#[cfg(feature = "broker")]
fn start(
    options: &BrokerStart,
    listen: IpAddr,
) -> crate::error::Result<crate::mqtt::broker::Broker> {
    use crate::error::Error;
    use crate::mqtt::broker::{Access, Broker, BrokerSettings, raise_descriptors};

    let (stop, stopped) = std::sync::mpsc::channel();
    super::signals::on_terminate(move || {
        let _ = stop.send(());
    })
    .map_err(|error| Error::io("cannot wait for signals", &error))?;
    raise_descriptors();
    let at = |port| SocketAddr::new(listen, port);
    let ports = std::iter::once(options.mqtt_port).chain(options.mqtt5_port);
    let broker = Broker::start(BrokerSettings {
        listen: ports.map(at).collect(),
        access: Access::read(options.users.as_deref(), options.rules.as_deref())?,
        keep_in: options.keep.clone(),
        clients_max: None,
    })?;
    let stopper = broker.stopper();
    std::thread::Builder::new()
        .name("distflow-stop".into())
        .spawn(move || {
            let _ = stopped.recv();
            stopper.stop();
        })
        .map_err(|error| Error::io("cannot start a thread", &error))?;
    Ok(broker)
}

#[cfg(feature = "broker")]
fn say_started(addresses: &[std::net::SocketAddr], json: bool) {
    let [address, more @ ..] = addresses else {
        return;
    };
    if json {
        let second = more.first().unwrap_or(address);
        let line = serde_json::json!({"event": "started", "host": address.ip().to_string(),
            "port": address.port(), "mqtt5Port": second.port()});
        out_line(&line.to_string());
    } else {
        out_line(&format!("{READY_LINE}{address}"));
        for address in more {
            out_line(&format!("MQTT 5 on {address}"));
        }
    }
}

#[cfg(not(feature = "broker"))]
fn serve(options: &BrokerStart, _listen: IpAddr, _json: bool) -> u8 {
    let _ = (out_line as fn(&str), READY_LINE);
    let BrokerStart {
        mqtt_port: _,
        mqtt5_port: _,
        rules: _,
        keep: _,
        ..
    } = options;
    err_line(
        "Error: this program was built without a broker. Use that of the source (make build), or another: \
         mosquitto, for example.",
    );
    1
}
