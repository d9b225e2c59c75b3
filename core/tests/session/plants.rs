//! Planted bugs: the simulation finds each of them.
//!
//! `cargo test -p distflow-core --features plants --test session plants`

use std::panic::{AssertUnwindSafe, catch_unwind};

use distflow_core::plant;

use crate::beside_originals as beside;
use crate::ends;
use crate::handing_over::one_continues;

/// The bugs, each with what finds it by a panic.
const PLANTS: [(&str, fn()); 5] = [
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
