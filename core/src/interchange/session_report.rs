//! What a session tells, as JSON.

use serde_json::{Map, Value, json};

use super::report::array;
use crate::crdt::base64;
use crate::session::document::Vocabulary;
use crate::session::lobby::Listing;
use crate::session::rows::{Row, rows};
use crate::session::seat::Event;
use crate::sessions::View;

/// An event as an object: `{"type": …}` and what belongs to it. A message of the game that is no text
/// has U+FFFD in its `payload`, and its bytes in `payload_base64`.
pub fn session_event(event: &Event) -> Value {
    match event {
        Event::Created => json!({"type": "created"}),
        Event::Joined => json!({"type": "joined"}),
        Event::Refused(refusal) => {
            json!({"type": "refused", "reason": refusal.name(), "text": refusal.text()})
        }
        Event::Failed(error) => json!({"type": "failed", "text": error.message()}),
        Event::MemberJoined(instance) => json!({"type": "member_joined", "instance": instance}),
        Event::MemberLeft(instance) => json!({"type": "member_left", "instance": instance}),
        Event::StateChanged(state) => {
            json!({"type": "state_changed", "state": state.word(Vocabulary::Planned)})
        }
        Event::Countdown(seconds) => json!({"type": "countdown", "seconds": seconds}),
        Event::CountdownStopped => json!({"type": "countdown_stopped"}),
        Event::GameStarted { by, kind } => {
            json!({"type": "game_started", "by": by, "kind": kind.word()})
        }
        Event::CreatorChanged { creator, term } => {
            json!({"type": "creator_changed", "creator": creator, "term": term})
        }
        Event::SeedChanged(seed) => json!({"type": "seed_changed", "seed": seed}),
        Event::Reserved { player, instance } => {
            json!({"type": "reserved", "player": player, "instance": instance})
        }
        Event::Released { player } => json!({"type": "released", "player": player}),
        Event::Registered { player, instance } => {
            json!({"type": "registered", "player": player, "instance": instance})
        }
        Event::AllPlayersSelected => json!({"type": "all_players_selected"}),
        Event::Game { name, payload } => {
            let text = String::from_utf8_lossy(payload);
            let mut event = json!({"type": "game", "name": name, "payload": text});
            if std::str::from_utf8(payload).is_err() {
                event["payload_base64"] = base64::encode(payload).into();
            }
            event
        }
        Event::NotAllowed {
            is_publication,
            topic,
            why,
        } => {
            let action = match is_publication {
                true => "publish",
                false => "subscribe",
            };
            json!({"type": "not_allowed", "action": action, "topic": topic, "text": why})
        }
        Event::Ended(ending) => {
            json!({"type": "ended", "reason": ending.name(), "text": ending.text()})
        }
    }
}

/// A session of the list as an object.
pub fn session_listing(listing: &Listing) -> Value {
    json!({
        "session_id": listing.session_id,
        "model_name": listing.model_name,
        "state": listing.state.word(Vocabulary::Planned),
        "members": listing.members,
        "players_min": listing.players_min,
        "players_max": listing.players_max,
        "creator": listing.creator,
        "players": listing.players,
        "is_joinable": listing.is_joinable,
    })
}

/// Sessions as an array.
pub fn session_listings(listings: &[Listing]) -> String {
    array(listings.iter().map(|one| session_listing(one).to_string()))
}

/// The rows of a list of sessions as an array, as seen by whoever is in one of them or in none.
pub fn session_rows(listings: &[Listing], own: Option<&str>) -> String {
    let rows = rows(listings, own);
    array(rows.iter().map(|row| row_json(row).to_string()))
}

/// A row of the list as an object.
fn row_json(row: &Row) -> Value {
    json!({
        "session_id": row.session_id,
        "text": row.text,
        "tooltip": row.tooltip,
        "is_checked": row.is_checked,
        "is_full": row.is_full,
        "background": row.background,
        "foreground": row.foreground,
        "is_italic": row.is_italic,
    })
}

/// A session as it is known here, as an object.
pub fn session_view(view: &View) -> Value {
    let mut object = Map::new();
    let mut set = |name: &str, value: Value| object.insert(name.to_owned(), value);
    set("role", json!(view.role.map(|role| role.name())));
    set(
        "state",
        json!(view.state().map(|state| state.word(Vocabulary::Planned))),
    );
    set("members", json!(view.members()));
    let document = view.document.as_ref();
    set("creator", json!(document.map(|document| &document.creator)));
    set(
        "model_name",
        json!(document.map(|document| &document.model_name)),
    );
    set("version", json!(document.map(|document| document.version)));
    set(
        "players_min",
        json!(document.map(|document| document.players_min)),
    );
    set(
        "players_max",
        json!(document.map(|document| document.players_max)),
    );
    set("term", json!(document.map(|document| document.term())));
    set(
        "hand_over",
        json!(document.map(|document| document.hands_over())),
    );
    set("is_in", json!(view.is_in));
    set("ending", json!(view.ending.map(|ending| ending.name())));
    set("seed", json!(view.seed));
    set("reserved", json!(view.reserved));
    set("registered", json!(view.registered));
    set("all_players_selected", json!(view.are_all_players_selected));
    set("is_connected", json!(view.is_connected));
    set("ignored", json!(view.ignored));
    Value::Object(object)
}
