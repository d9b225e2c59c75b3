//! Whatever others publish: a creator, a member, an observer and a list take it in. Nobody panics,
//! nobody is sent away or let in beyond the room, and a closed session stays closed.
#![no_main]

use distflow_core::session::seat::{CreateOptions, Seat, Timing};
use distflow_core::session::{Document, Lobby, LocalTime, Moment};
use libfuzzer_sys::fuzz_target;

const TOPICS: [&str; 12] = [
    "s/session_state",
    "session_state/s",
    "session_discovery/s",
    "s/session_seed_sync",
    "s/session_instance_ready/me",
    "s/session_instance_ready/x",
    "s/session_player_disconnect/x",
    "s/session_player_reservation/Farmer",
    "s/session_player_registration/Farmer",
    "s/session_game_start",
    "s/session_all_players_selected",
    "s/session_creator_claim",
];

fuzz_target!(|data: &[u8]| {
    let mut now = Moment {
        mono_ms: 1_000,
        local: LocalTime(1_800_000_000_000_000),
        offset_s: 3_600,
    };
    let timing = Timing::default();
    let options = CreateOptions {
        players_max: 3,
        hand_over: true,
        ..CreateOptions::default()
    };
    let mut seats = [
        Seat::create("s", "me", &options, timing, 7, now).unwrap(),
        Seat::join("s", "me", timing, 8).unwrap(),
        Seat::observe("s", "me", timing, 9).unwrap(),
    ];
    let mut lobby = Lobby::new(timing, true, 10);
    lobby.connected(now);
    for seat in &mut seats {
        seat.connected(now);
    }
    // A message is: which topic, whether it was kept, time that passes before it, then its bytes up to a
    // zero.
    for message in data.split(|byte| *byte == 0).take(64) {
        let [topic, retained, wait, payload @ ..] = message else { continue };
        let topic = TOPICS[*topic as usize % TOPICS.len()];
        now.mono_ms += u64::from(*wait) * 50;
        let were_closed = seats.each_ref().map(|seat| seat.document().is_some_and(Document::is_closed));
        for (seat, was_closed) in seats.iter_mut().zip(were_closed) {
            seat.message(topic, payload, retained % 2 == 1, now);
            seat.tick(now);
            while seat.pop_action().is_some() {}
            while seat.pop_event().is_some() {}
            let document = seat.document();
            assert!(!was_closed || document.is_some_and(Document::is_closed));
        }
        if let (distflow_core::session::Role::Creator, Some(document)) = (seats[0].role(), seats[0].document()) {
            assert!(document.members.len() <= 3 && document.has("me"));
        }
        lobby.message(topic, payload, retained % 2 == 1, now);
        lobby.tick(now);
        while lobby.pop_action().is_some() {}
        for listing in lobby.sessions(now) {
            let _ = listing.row(true);
        }
    }
});
