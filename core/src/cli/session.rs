//! `distflow session`: game sessions on an MQTT broker.

use std::time::Duration;

use serde_json::json;

use crate::cli::args::{BrokerPlace, SessionCommand};
use crate::cli::output::{err_line, is_whole, out_line};
use crate::cli::{session_demo, signals};
use crate::error::{Error, ErrorKind, Result};
use crate::interchange::{session_event, session_listing, session_view};
use crate::mqtt::{BrokerOptions, Version};
use crate::runtime::Handle;
use crate::session::rows::{NO_SESSIONS, rows};
use crate::session::seat::{CreateOptions, Event};
use crate::sessions::{Session, Sessions};

pub(super) fn run(command: SessionCommand, json: bool) -> u8 {
    match carry_out(command, json) {
        Ok(code) => code,
        Err(error) => {
            if json {
                let line =
                    json!({"event": "error", "code": error.kind().name(), "text": error.message()});
                out_line(&line.to_string());
            } else {
                err_line(&format!("Error: {error}"));
            }
            1
        }
    }
}

fn carry_out(command: SessionCommand, json: bool) -> Result<u8> {
    match command {
        SessionCommand::List {
            place,
            watch,
            wait_ms,
        } => list(&options(&place)?, watch, wait_ms, json),
        SessionCommand::Create {
            place,
            id,
            model,
            min,
            max,
            seed,
            hand_over,
            auto_start,
        } => {
            let create = CreateOptions {
                model_name: model,
                players_min: min,
                players_max: max,
                seed,
                hand_over,
                auto_start_s: auto_start,
            };
            let mut stopped = stopped()?;
            let sessions = Sessions::new(options(&place)?)?;
            let session = wait_unless(&mut stopped, sessions.create(id.as_deref(), create))?;
            stay(&session, stopped, json)
        }
        SessionCommand::Join { place, id } => {
            let mut stopped = stopped()?;
            let sessions = Sessions::new(options(&place)?)?;
            let session = wait_unless(&mut stopped, sessions.join(&id))?;
            stay(&session, stopped, json)
        }
        SessionCommand::Watch { place, id } => {
            let mut stopped = stopped()?;
            let sessions = Sessions::new(options(&place)?)?;
            let session = wait_unless(&mut stopped, sessions.observe(&id))?;
            stay(&session, stopped, json)
        }
        SessionCommand::Demo { members, broker } => {
            Ok(session_demo::run(members.into(), broker.as_deref()))
        }
    }
}

/// Waits on this thread for something that needs the network.
pub(super) fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let waited = Handle::current()?.wait(future, None);
    waited.unwrap_or_else(|| Err(Error::new(ErrorKind::Timeout, "nothing came")))
}

/// The same until a signal comes.
fn wait_unless<T>(
    stopped: &mut tokio::sync::oneshot::Receiver<()>,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    wait(async {
        tokio::select! {
            result = future => result,
            _ = stopped => Err(Error::new(ErrorKind::Closed, "stopped before it began")),
        }
    })
}

fn options(place: &BrokerPlace) -> Result<BrokerOptions> {
    let mut options = BrokerOptions::parse(&place.broker)?;
    if place.mqtt5 {
        options.version = Version::V5;
    }
    if let Some(user) = &place.user {
        options.username = Some(user.clone());
    }
    let variable = || std::env::var_os("DISTFLOW_MQTT_PASSWORD_FILE").map(Into::into);
    if let Some(file) = place.password_file.clone().or_else(variable) {
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Error::io(
                &format!("cannot read the password file {}", file.display()),
                &error,
            )
        })?;
        options.password = text.lines().next().map(str::to_owned);
    }
    options.ca_file.clone_from(&place.ca_file);
    options.client_certificate = place.cert_file.clone().zip(place.key_file.clone());
    options.check()?;
    Ok(options)
}

/// Is told by SIGINT or SIGTERM.
fn stopped() -> Result<tokio::sync::oneshot::Receiver<()>> {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    signals::on_terminate(move || {
        let _ = stop.send(());
    })
    .map_err(|error| Error::io("cannot wait for signals", &error))?;
    Ok(stopped)
}

fn list(options: &BrokerOptions, watch: bool, wait_ms: u64, json: bool) -> Result<u8> {
    let mut stopped = stopped()?;
    let list = wait_unless(&mut stopped, Sessions::new(options.clone())?.list())?;
    let show = |sessions: &[crate::session::lobby::Listing]| {
        if json {
            let sessions: Vec<_> = sessions.iter().map(session_listing).collect();
            out_line(&json!(sessions).to_string());
            return;
        }
        let rows = rows(sessions, None);
        if rows.is_empty() {
            out_line(NO_SESSIONS);
        }
        for row in rows {
            out_line(&format!("{}  {}", row.session_id, row.text));
        }
    };
    let pause = Duration::from_millis(wait_ms);
    // What the broker has kept comes at once, but not in one piece.
    let _ = list.wait(async { tokio::time::sleep(pause).await }, None);
    let (mut version, sessions) = list.sessions();
    show(&sessions);
    if !watch {
        return Ok(0);
    }
    let watching = async {
        tokio::pin!(stopped);
        loop {
            let (next, sessions) = tokio::select! {
                _ = &mut stopped => return Ok(()),
                changed = list.changed(version) => changed.ok_or_else(|| {
                    Error::new(ErrorKind::Refused, "the broker refused to be connected to again")
                })?,
            };
            version = next;
            if !json {
                out_line("");
            }
            show(&sessions);
            if !is_whole() {
                return Ok(());
            }
        }
    };
    list.wait(watching, None).unwrap_or(Ok(()))?;
    Ok(0)
}

/// Prints what happens until the session is over, or a signal says to leave it.
fn stay(session: &Session, stopped: tokio::sync::oneshot::Receiver<()>, json: bool) -> Result<u8> {
    let staying = async {
        tokio::pin!(stopped);
        let mut is_over = false;
        begin(session, json);
        loop {
            tokio::select! {
                _ = &mut stopped, if !is_over => {
                    is_over = true;
                    session.leave().await;
                }
                event = session.next_event() => match event {
                    None => return 0,
                    Some(event) => {
                        show(session, &event, json);
                        if !is_whole() {
                            return 1;
                        }
                    }
                },
            }
        }
    };
    Ok(session.wait(staying, None).unwrap_or(1))
}

fn begin(session: &Session, json: bool) {
    let view = session.view();
    if json {
        let line = json!({"event": "in", "session_id": session.id(), "instance": session.instance(),
            "view": session_view(&view)});
        out_line(&line.to_string());
    } else {
        let role = view.role.map_or("", |role| role.name());
        out_line(&format!(
            "session {} as {role} {}",
            session.id(),
            session.instance()
        ));
    }
}

fn show(session: &Session, event: &Event, json: bool) {
    let view = session.view();
    if json {
        let line = json!({"event": session_event(event), "members": view.members().len(),
            "version": view.document.as_ref().map(|document| document.version)});
        out_line(&line.to_string());
        return;
    }
    let count = view.members().len();
    let text = match event {
        Event::MemberJoined(instance) => format!("{instance} has joined: {count} are in"),
        Event::MemberLeft(instance) => format!("{instance} has left: {count} are in"),
        Event::StateChanged(state) => {
            format!("state: {}", state.word(crate::session::Vocabulary::Planned))
        }
        Event::Countdown(seconds) => format!("the game starts in {seconds} s"),
        Event::CountdownStopped => "the countdown has stopped: members are missing".to_owned(),
        Event::GameStarted { by, kind } => format!("the game has started ({}, {by})", kind.word()),
        Event::CreatorChanged { creator, .. } => format!("{creator} continues the session"),
        Event::SeedChanged(seed) => format!("seed: {seed}"),
        Event::Reserved { player, instance } => format!("{player} is reserved for {instance}"),
        Event::Released { player } => format!("{player} is free"),
        Event::Registered { player, instance } => format!("{player} is played by {instance}"),
        Event::AllPlayersSelected => "all players are selected".to_owned(),
        Event::Game { name, payload } => format!("game_{name}: {} bytes", payload.len()),
        Event::Ended(ending) => ending.text().to_owned(),
        Event::Created | Event::Joined | Event::Refused(_) | Event::Failed(_) => return,
    };
    out_line(&text);
}
