//! `distflow broker`: a broker for games on a LAN.

use crate::cli::args::BrokerCommand;
use crate::cli::output::{err_line, out_line};

/// What a broker prints when it serves, before its address.
pub(super) const READY_LINE: &str = "Broker started on ";

pub(super) fn run(command: &BrokerCommand, json: bool) -> u8 {
    let BrokerCommand::Start {
        mqtt_port,
        mqtt5_port,
        listen,
        insecure,
    } = command;
    if !listen.is_loopback() {
        if !insecure {
            err_line(&format!(
                "Error: {listen} is reached by others, and the broker has no authentication. Use --insecure \
                 if everybody on that network may read and write everything."
            ));
            return 1;
        }
        err_line(&format!(
            "WARNING: listening on {listen} without authentication (--insecure)"
        ));
    }
    serve(*listen, *mqtt_port, *mqtt5_port, json)
}

#[cfg(feature = "broker")]
fn serve(listen: std::net::IpAddr, port: u16, port_v5: Option<u16>, json: bool) -> u8 {
    use std::net::SocketAddr;
    use std::sync::mpsc;

    let (stop, stopped) = mpsc::channel();
    if let Err(error) = super::signals::on_terminate(move || {
        let _ = stop.send(());
    }) {
        err_line(&format!("Error: cannot wait for signals: {error}"));
        return 1;
    }
    let at = |port| SocketAddr::new(listen, port);
    match crate::mqtt::broker::start(at(port), port_v5.map(at)) {
        Err(error) => {
            err_line(&format!("Error: {error}"));
            1
        }
        Ok((address, address_v5)) => {
            if json {
                let v5 = address_v5.map(|address| address.port());
                let line = serde_json::json!({"event": "started", "host": address.ip().to_string(),
                    "port": address.port(), "mqtt5_port": v5});
                out_line(&line.to_string());
            } else {
                out_line(&format!("{READY_LINE}{address}"));
                if let Some(address) = address_v5 {
                    out_line(&format!("MQTT 5 on {address}"));
                }
            }
            let _ = stopped.recv();
            0
        }
    }
}

#[cfg(not(feature = "broker"))]
fn serve(_listen: std::net::IpAddr, _port: u16, _port_v5: Option<u16>, _json: bool) -> u8 {
    let _ = (out_line as fn(&str), READY_LINE);
    err_line(
        "Error: this program was built without a broker. Use that of the source (make build), or another: \
         mosquitto, for example.",
    );
    1
}
