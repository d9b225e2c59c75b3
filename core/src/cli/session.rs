//! `distflow session`: game sessions on an MQTT broker.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::args::{BrokerPlace, SessionCommand};
use crate::cli::output::{err_line, exit_code, is_whole, out_json, out_line, shown};
use crate::cli::{output, session_demo, session_input, signals};
use crate::error::{Error, ErrorKind, Result};
use crate::interchange::{session_event, session_listing, session_view};
use crate::mqtt::{BrokerOptions, Version};
use crate::runtime::Handle;
use crate::session::completeness::Completeness;
use crate::session::rows::NO_SESSIONS;
use crate::session::seat::{CreateOptions, Event};
use crate::session::{State, Vocabulary};
use crate::sessions::{Session, SessionList, Sessions};

/// Bytes of a message of the game that are shown as text; of longer ones, how many there are.
const GAME_TEXT_MAX: usize = 200;

pub(super) fn run(command: SessionCommand, json: bool) -> u8 {
    match carry_out(command, json) {
        Ok(code) => code,
        Err(error) => {
            say_error(&error, json);
            exit_code(&error)
        }
    }
}

fn say_error(error: &Error, json: bool) {
    if json {
        let line = json!({"event": "error", "code": error.kind().name(), "text": error.message()});
        out_json(&line.to_string());
    } else {
        err_line(&format!("Error: {error}"));
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
    options.version = match (place.mqtt5, place.mqtt311) {
        (true, _) => Version::V5,
        (_, true) => Version::V311,
        (false, false) => Version::Auto,
    };
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

fn list(options: &BrokerOptions, watch: bool, wait_ms: Option<u64>, json: bool) -> Result<u8> {
    let mut stopped = stopped()?;
    let list = wait_unless(&mut stopped, Sessions::new(options.clone())?.list())?;
    let show = |sessions: &[crate::session::lobby::Listing]| {
        if json {
            let sessions: Vec<_> = sessions
                .iter()
                .map(|one| camel(session_listing(one)))
                .collect();
            out_json(&json!(sessions).to_string());
            return;
        }
        if sessions.is_empty() {
            out_line(NO_SESSIONS);
        }
        for one in sessions {
            // The originals show those only that can be joined, or are full.
            let text = match one.state {
                State::Open => one.row(false).text,
                state => format!(
                    "{} ({}/{} instances, {})",
                    one.model_name,
                    one.members.len(),
                    one.players_max,
                    state.word(Vocabulary::Planned).replace('_', " ")
                ),
            };
            out_line(&shown(&format!("{}  {text}", one.session_id)));
        }
    };
    let pause = wait_ms.map(Duration::from_millis);
    let limit = pause.unwrap_or(COMPLETE_WITHIN);
    let stop = list.wait(
        async {
            let looking = async {
                tokio::select! {
                    _ = list.complete(), if pause.is_none() => {}
                    () = says_if_it_takes_long(&list), if pause.is_none() => {}
                    () = tokio::time::sleep(limit) => {}
                }
            };
            tokio::select! {
                _ = &mut stopped => true,
                () = looking => false,
            }
        },
        None,
    );
    if stop == Some(true) {
        return Ok(0);
    }
    if list.completeness() == Completeness::CutOff {
        err_line(
            "there may be more: the broker has not brought all that it has kept, or there are too many",
        );
    }
    let (mut version, sessions) = list.sessions();
    show(&sessions);
    if !watch {
        return Ok(0);
    }
    output::serve(json);
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

/// Far longer than a list takes to be complete with any broker.
const COMPLETE_WITHIN: Duration = Duration::from_secs(10);

/// Says so when the broker does not bring what it has kept; never ends.
async fn says_if_it_takes_long(list: &SessionList) {
    let (mut version, _) = list.sessions();
    loop {
        if list.completeness() == Completeness::Announcements {
            err_line(
                "the broker brings no sessions that it has kept: waiting until all have announced themselves",
            );
            std::future::pending::<()>().await;
        }
        match list.changed(version).await {
            Some((next, _)) => version = next,
            None => std::future::pending().await,
        }
    }
}

/// Names as the other commands write them; those of players stay as they are.
fn camel(value: Value) -> Value {
    let Value::Object(object) = value else {
        return value;
    };
    let named = object.into_iter().map(|(name, value)| {
        let mut words = name.split('_');
        let mut camel = words.next().unwrap_or_default().to_owned();
        for word in words {
            let (first, rest) = word.split_at(word.len().min(1));
            camel.push_str(&first.to_ascii_uppercase());
            camel.push_str(rest);
        }
        let value = match name.as_str() {
            "view" | "event" => self::camel(value),
            _ => value,
        };
        (camel, value)
    });
    Value::Object(named.collect())
}

/// Prints what happens until the session is over, or a signal says to leave it.
fn stay(session: &Session, stopped: tokio::sync::oneshot::Receiver<()>, json: bool) -> Result<u8> {
    // This thread drives the network meanwhile, and must not stand still.
    output::serve(json);
    let staying = async {
        tokio::pin!(stopped);
        let mut is_over = false;
        begin(session, json);
        let mut typed = session_input::lines();
        let mut is_typed = true;
        loop {
            tokio::select! {
                _ = &mut stopped, if !is_over => {
                    is_over = true;
                    session.leave().await;
                }
                line = typed.recv(), if is_typed && !is_over => match line {
                    None => is_typed = false,
                    Some(line) if line.trim() == "help" => out_line(&match json {
                        true => json!({"event": "help", "text": session_input::HELP}).to_string(),
                        false => session_input::HELP.to_owned(),
                    }),
                    Some(line) => match session_input::obey(session, &line).await {
                        Ok(false) => {}
                        Ok(true) => {
                            is_over = true;
                            session.leave().await;
                        }
                        Err(error) => say_error(&error, json),
                    },
                },
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
        let line = camel(
            json!({"event": "in", "session_id": session.id(), "instance": session.instance(),
            "view": session_view(&view)}),
        );
        out_json(&line.to_string());
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
        let line = camel(
            json!({"event": session_event(event), "members": view.members().len(),
            "version": view.document.as_ref().map(|document| document.version)}),
        );
        out_json(&line.to_string());
        return;
    }
    let count = view.members().len();
    let text = match event {
        Event::MemberJoined(instance) => format!("{instance} has joined: {count} are in"),
        Event::MemberLeft(instance) => format!("{instance} has left: {count} are in"),
        Event::StateChanged(state) => {
            format!("state: {}", state.word(Vocabulary::Planned))
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
        Event::Game { name, payload } => match std::str::from_utf8(payload) {
            Ok(text) if text.len() <= GAME_TEXT_MAX => format!("game_{name}: {text}"),
            _ => format!("game_{name}: {} bytes", payload.len()),
        },
        Event::NotAllowed {
            is_publication,
            topic,
            why,
        } => {
            let done = match is_publication {
                true => "publish on",
                false => "subscribe to",
            };
            format!("the broker does not let this instance {done} {topic:?}: {why}")
        }
        Event::Ended(ending) => ending.text().to_owned(),
        Event::Created | Event::Joined | Event::Refused(_) | Event::Failed(_) => return,
    };
    out_line(&shown(&text));
}
