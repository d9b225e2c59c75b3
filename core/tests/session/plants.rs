//! Planted bugs: the simulation finds each of them.
//!
//! `cargo test -p distflow-core --features plants --test session plants`

use std::panic::{AssertUnwindSafe, catch_unwind};

use distflow_core::plant;

use crate::beside_originals as beside;
use crate::handing_over::one_continues;
use crate::{breaks, ends, players, scenarios, walks};

/// The bugs, each with what finds it by a panic: at least one for each of S1 to S6, S8, S10, S12 to S14 of
/// `docs/guarantees.md`.
const PLANTS: [(&str, fn()); 15] = [
    (
        "joined_unread",
        walks::no_join_is_lost_and_nobody_comes_back,
    ),
    (
        "goes_on_talking",
        ends::a_creator_that_leaves_leaves_nothing_behind,
    ),
    (
        "lease_for_ever",
        scenarios::a_frozen_member_is_gone_within_20_s,
    ),
    ("creator_for_ever", scenarios::creator_loss),
    ("room_for_all", scenarios::who_finds_no_room_is_told_at_once),
    (
        "clocks_compared",
        breaks::clocks_that_differ_or_are_set_end_nothing,
    ),
    (
        "kept_behind",
        ends::a_creator_that_leaves_leaves_nothing_behind,
    ),
    (
        "wished_once",
        players::players_are_asked_for_again_by_who_was_away_and_of_who_was_away,
    ),
    (
        "letters_as_they_are",
        ends::names_are_no_letters_of_a_broker_s_language,
    ),
    (
        "always_complete",
        ends::the_list_waits_for_announcements_where_it_does_not,
    ),
    ("first_claim_wins", || (0..300).for_each(one_continues)),
    (
        "closes_game",
        beside::nobody_but_an_original_creator_closes_its_game,
    ),
    (
        "deaf_to_original",
        beside::any_sign_of_life_of_an_original_creator_counts,
    ),
    (
        "old_presence",
        beside::presence_from_before_the_session_needs_a_sign_of_life,
    ),
    (
        "tidies_in_step",
        ends::of_many_lists_one_tidies_up_behind_a_session,
    ),
];

#[test]
fn every_planted_bug_is_found() {
    for (name, check) in PLANTS {
        plant::set(name);
        let found = catch_unwind(AssertUnwindSafe(check)).is_err();
        plant::set("");
        assert!(found, "{name} was not found");
    }
}
