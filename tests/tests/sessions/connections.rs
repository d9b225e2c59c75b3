//! Ways to reach a broker: MQTT 5, WebSocket, TLS, user and password.

use std::process::Command;
use std::time::Instant;

use distflow_core::error::ErrorKind;
use distflow_core::mqtt::{BrokerOptions, Version};
use distflow_core::session::seat::Event;
use distflow_core::sessions::Sessions;
use distflow_tests::{Child, LIMIT, TempFolder, distflow_program};

use crate::brokers::{Broker, Instance, Kind, OfBroker, block_on, on_both};
use crate::people::{count, room_for, until};

/// Two meet by these options.
fn meet(options: &BrokerOptions) {
    block_on(async {
        let sessions = Sessions::new(options.clone()).unwrap();
        let one = sessions.create(None, room_for(2)).await.unwrap();
        let two = sessions.join(one.id()).await.unwrap();
        count(&one, 2).await;
        two.leave().await;
        count(&one, 1).await;
    });
}

fn fails(options: &BrokerOptions, kind: ErrorKind, words: &str) {
    let error = block_on(async {
        let sessions = Sessions::new(options.clone()).unwrap();
        sessions.create(None, room_for(2)).await.unwrap_err()
    });
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.message().contains(words), "{error}");
}

on_both!(names_in_any_letters);

/// Topics that begin with a letter of more than one byte.
fn names_in_any_letters(broker: &mut Broker) {
    let options = BrokerOptions::parse(&broker.url()).unwrap();
    block_on(async {
        let sessions = Sessions::new(options).unwrap();
        let one = sessions.create(Some("üß"), room_for(2)).await.unwrap();
        let two = sessions.join("üß").await.unwrap();
        count(&one, 2).await;
        two.reserve("Ödön").await.unwrap();
        two.leave().await;
        count(&one, 1).await;
        one.leave().await;
        let deadline = Instant::now() + LIMIT;
        while !broker.retained("%C3%BC%C3%9F").await.is_empty() {
            assert!(Instant::now() < deadline);
        }
    });
    meet(&BrokerOptions::parse(&broker.url()).unwrap());
}

#[test]
fn mqtt_5() {
    let broker = Broker::start(Kind::Mosquitto);
    let mut options = BrokerOptions::parse(&broker.url()).unwrap();
    options.version = Version::V5;
    meet(&options);
}

/// Whoever speaks the one version meets whoever speaks the other, on the same port and on a second one.
#[test]
fn mqtt_5_in_the_box() {
    let mut command = Command::new(distflow_program());
    command.args(["broker", "start", "--mqtt-port", "0", "--mqtt5-port", "0"]);
    let broker = Child::spawn(command);
    let place = broker.line_after("Broker started on ");
    let second = broker.line_after("MQTT 5 on ");
    let at = |place: &str, version| {
        let mut options = BrokerOptions::parse(&format!("mqtt://{place}")).unwrap();
        options.version = version;
        options
    };
    meet(&at(&place, Version::V5));
    meet(&at(&second, Version::V311));
    block_on(async {
        let old = Sessions::new(at(&place, Version::V311)).unwrap();
        let new = Sessions::new(at(&place, Version::V5)).unwrap();
        let elsewhere = Sessions::new(at(&second, Version::V5)).unwrap();
        let one = new.create(Some("üß"), room_for(3)).await.unwrap();
        let two = old.join("üß").await.unwrap();
        let three = elsewhere.join("üß").await.unwrap();
        count(&one, 3).await;
        two.leave().await;
        three.leave().await;
        count(&one, 1).await;
    });
}

/// Nobody is there to tidy up, and the announcement goes all the same.
#[test]
fn an_announcement_expires_with_mqtt_5() {
    let broker = Broker::start(Kind::Mosquitto);
    let arguments = ["create", "--id", "alone", "--mqtt5"];
    let mut one = Instance::start(&broker, &arguments, &[]);
    one.is_in();
    block_on(async {
        let announcement = |topic: &String| topic.starts_with("session_discovery/");
        while !broker.retained("alone").await.iter().any(announcement) {}
        one.child.kill();
        let deadline = Instant::now() + LIMIT;
        while broker.retained("alone").await.iter().any(announcement) {
            assert!(Instant::now() < deadline);
        }
        // What has no such limit is there.
        assert!(!broker.retained("alone").await.is_empty());
    });
}

#[test]
fn web_socket() {
    let broker = Broker::configured(Kind::Mosquitto, |port, folder| {
        let other = other_listener(folder);
        format!("{other}\nlistener {port} 127.0.0.1\nprotocol websockets\nallow_anonymous true")
    });
    for version in [Version::V311, Version::V5] {
        let mut options = BrokerOptions::parse(&format!("ws://127.0.0.1:{}", broker.port)).unwrap();
        options.version = version;
        meet(&options);
    }
}

#[test]
fn user_and_password() {
    let broker = Broker::configured(Kind::Mosquitto, |port, folder| {
        let file = folder.path().join("passwords");
        let made = Command::new("mosquitto_passwd")
            .args(["-b", "-c"])
            .arg(&file)
            .args(["ann", "secret"])
            .status();
        assert!(made.unwrap().success());
        format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}",
            file.display()
        )
    });
    let place = format!("127.0.0.1:{}", broker.port);
    for version in [Version::V311, Version::V5] {
        let mut options = BrokerOptions::parse(&format!("mqtt://ann:secret@{place}")).unwrap();
        options.version = version;
        meet(&options);
        options.password = Some("wrong".to_owned());
        fails(&options, ErrorKind::Refused, "authorized");
        options.username = None;
        options.password = None;
        fails(&options, ErrorKind::Refused, "user name and password");
    }
}

/// Some versions of Mosquitto do not start with a WebSocket alone.
fn other_listener(folder: &TempFolder) -> String {
    format!("listener 0 {}/socket", folder.path().display())
}

/// Makes an authority, and certificates for a server and a client, in a folder.
fn certificates(folder: &TempFolder) {
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(folder.path())
            .output();
        let output = output.expect("openssl is missing: apt-get install openssl");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    run(&[
        &[
            "req",
            "-x509",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-subj",
            "/CN=Test CA",
            "-days",
            "2",
        ],
        &key[..],
    ]
    .concat());
    for (name, subject, extension) in [
        (
            "server",
            "/CN=localhost",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ),
        ("client", "/CN=client", "extendedKeyUsage=clientAuth"),
    ] {
        let (key_file, request, certificate) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.pem"),
        );
        let extensions = format!("{name}.ext");
        std::fs::write(folder.path().join(&extensions), extension).unwrap();
        run(&[
            &[
                "req", "-new", "-keyout", &key_file, "-out", &request, "-subj", subject,
            ],
            &key[..],
        ]
        .concat());
        run(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            &certificate,
            "-days",
            "2",
            "-extfile",
            &extensions,
        ]);
    }
}

fn tls(more: &str) -> Broker {
    Broker::configured(Kind::Mosquitto, |port, folder| {
        certificates(folder);
        let at = |name: &str| folder.path().join(name).display().to_string();
        format!(
            "{}\nlistener {port} 127.0.0.1\nallow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\n{more}",
            other_listener(folder),
            at("ca.pem"),
            at("server.pem"),
            at("server.key")
        )
    })
}

#[test]
fn tls_with_a_given_authority() {
    let broker = tls("");
    let mut options = BrokerOptions::parse(&format!("mqtts://localhost:{}", broker.port)).unwrap();
    fails(&options, ErrorKind::Timeout, "certificate");
    options.ca_file = Some(broker.folder.path().join("ca.pem"));
    meet(&options);
    options.version = Version::V5;
    meet(&options);
    options.ca_file = Some(broker.folder.path().join("nothing.pem"));
    fails(&options, ErrorKind::Io, "nothing.pem");
}

#[test]
fn tls_with_a_certificate_of_the_client() {
    let broker = tls("require_certificate true");
    let mut options = BrokerOptions::parse(&format!("mqtts://127.0.0.1:{}", broker.port)).unwrap();
    options.connect_timeout_ms = 2_000;
    options.ca_file = Some(broker.folder.path().join("ca.pem"));
    fails(
        &options,
        ErrorKind::Timeout,
        "did not let this client in in time",
    );
    let at = |name: &str| broker.folder.path().join(name);
    options.client_certificate = Some((at("client.pem"), at("client.key")));
    options.connect_timeout_ms = 10_000;
    meet(&options);
}

#[test]
fn secure_web_socket() {
    let broker = tls("protocol websockets");
    let mut options = BrokerOptions::parse(&format!("wss://localhost:{}", broker.port)).unwrap();
    options.ca_file = Some(broker.folder.path().join("ca.pem"));
    meet(&options);
}

#[test]
fn a_silent_broker_is_given_up() {
    // It takes connections, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut options = BrokerOptions::parse(&format!("mqtt://127.0.0.1:{port}")).unwrap();
    options.connect_timeout_ms = 300;
    for version in [Version::Auto, Version::V311, Version::V5] {
        options.version = version;
        fails(
            &options,
            ErrorKind::Timeout,
            "took the connection, and said nothing",
        );
    }
}

/// What sessions need, and a broker does not have, is said at once: by its own words, or, in MQTT 3.1.1,
/// which has none, by ours.
#[test]
fn a_broker_without_what_sessions_need_is_told() {
    for (lack, word) in [
        ("retain_available false", "no retained messages"),
        ("max_qos 0", "quality of service 0 only"),
    ] {
        let broker = Broker::configured(Kind::Mosquitto, |port, _| {
            format!("listener {port} 127.0.0.1\nallow_anonymous true\n{lack}")
        });
        let mut options = BrokerOptions::parse(&broker.url()).unwrap();
        // It is not waited for.
        options.connect_timeout_ms = 10 * LIMIT.as_millis() as u64;
        let both = "sessions need retained messages and quality of service 1";
        for (version, words) in [
            (Version::Auto, word),
            (Version::V5, word),
            (Version::V311, both),
        ] {
            options.version = version;
            let sessions = Sessions::new(options.clone()).unwrap();
            let errors = block_on(async {
                let mut errors = vec![
                    sessions.create(None, room_for(2)).await.err(),
                    sessions.join("s").await.err(),
                    sessions.list().await.err(),
                ];
                match version {
                    // Whoever only looks asks for nothing that the broker could refuse.
                    Version::V311 => hears_the_game(&sessions).await,
                    _ => errors.push(sessions.observe("s").await.err()),
                }
                errors
            });
            for error in errors {
                let error = error.unwrap();
                assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
                assert!(error.message().contains(words), "{error}");
            }
        }
    }
}

async fn hears_the_game(sessions: &Sessions) {
    let looking = sessions.observe("s").await.unwrap();
    looking.publish("move", b"1".to_vec()).await.unwrap();
    let moved = |event: &Event| matches!(event, Event::Game { name, .. } if name == "move");
    until(&looking, moved).await;
    assert!(looking.view().is_connected && looking.view().document.is_none());
}
