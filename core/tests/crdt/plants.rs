//! Planted bugs: random histories find each of them.
//!
//! `cargo test -p distflow-core --features plants --test crdt`

use distflow_core::plant;
use parking_lot::Mutex;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

#[cfg(unix)]
use crate::ends;
use crate::{convergence, damage, edge, hub, kept, lives, promises, reopen, watches};

/// Histories within which each has to be found.
const CASES: u32 = 60_000;

/// The bugs, each with the seed of the histories that are to find it. The rare ones are found by one
/// history in some ten thousand: another seed every time would sometimes miss them.
const PLANTS: [(&str, u8); 10] = [
    ("delete_ignores_stamp", 0),
    ("array_as_it_comes", 0),
    ("base_after_flip", 0),
    ("forgotten_too_early", 0),
    ("pending_lost", 0),
    ("local_write_not_last", 0),
    ("numbers_again", 0),
    ("log_with_gaps", 0),
    ("merge_brings_back", 10),
    ("stamps_without_edge", 0),
];

/// Bugs of what is kept, which histories with reopenings are to find.
const KEPT: [(&str, u8); 2] = [("replay_judges_anew", 0), ("numbers_again", 0)];

/// Without a word about panics, of which there is one hook for all threads.
fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static HOOK: Mutex<()> = Mutex::new(());
    let _one_at_a_time = HOOK.lock();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let done = work();
    std::panic::set_hook(hook);
    done
}

fn find<S: Strategy>(
    (name, seed): (&'static str, u8),
    histories: &S,
    check: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    plant::set(name);
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        // Where it is found is enough.
        max_shrink_iters: 0,
        ..Config::default()
    };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    // What fails may also panic.
    let found = quietly(|| TestRunner::new_with_rng(config, random).run(histories, check));
    plant::set("");
    let is_found = matches!(found, Err(TestError::Fail(..)));
    assert!(is_found, "{name} was not found in {CASES} histories");
}

#[test]
fn every_planted_bug_is_found() {
    for plant in PLANTS {
        find(plant, &convergence::history(), convergence::check);
    }
    for plant in KEPT {
        find(plant, &reopen::history(), reopen::check);
    }
}

/// Bugs of sources and their ends, which the histories with restarts find.
const LIVES: [(&str, u8); 3] = [
    ("source_again", 0),
    ("folded_early", 0),
    ("unheard_ignored", 0),
];

#[test]
fn every_planted_bug_of_lives_is_found() {
    for plant in LIVES {
        find(plant, &lives::history(), |steps| {
            lives::check(steps).map(drop)
        });
    }
}

/// Planted violations of single promises, each with the test that it is to turn red.
const SINGLE: [(&str, fn()); 12] = [
    (
        "forgotten_unheard",
        lives::a_delete_is_not_forgotten_before_what_a_former_member_wrote_has_arrived,
    ),
    ("late_taken_in", lives::what_has_waited_too_long_is_given_up),
    ("horizon_unseen", hub::what_goes_on_after_its_end_is_told),
    (
        "forgotten_unheard",
        lives::a_delete_is_not_forgotten_before_what_an_ended_life_wrote_has_arrived,
    ),
    (
        "stamps_without_edge",
        edge::an_operation_from_the_end_of_time_silences_nobody,
    ),
    (
        "padding_unbounded",
        promises::an_index_far_beyond_the_end_costs_what_its_operation_is_long,
    ),
    (
        "torn_keeps_source",
        damage::after_a_cut_journal_numbers_do_not_begin_again,
    ),
    (
        "length_unchecked",
        damage::a_flipped_bit_is_told_and_costs_one_record,
    ),
    (
        "initial_of_today",
        kept::another_initial_value_changes_nothing_once_there_is_a_document,
    ),
    (
        "replay_judges_anew",
        kept::a_smaller_bound_of_what_waits_takes_nothing_back,
    ),
    (
        "not_kept_is_done",
        kept::what_cannot_be_kept_does_not_happen,
    ),
    (
        "merge_untold",
        watches::after_a_merge_and_a_restore_every_watch_is_told_once,
    ),
];

fn turns_red(name: &'static str, test: fn()) {
    plant::set(name);
    let outcome = quietly(|| std::panic::catch_unwind(test));
    plant::set("");
    assert!(outcome.is_err(), "{name} leaves its test green");
}

#[test]
fn every_planted_violation_turns_its_test_red() {
    for (name, test) in SINGLE {
        turns_red(name, test);
    }
    #[cfg(unix)]
    turns_red(ends::PLANT, ends::what_a_killed_process_wrote_is_there);
    #[cfg(target_os = "linux")]
    if damage::can_mount() {
        turns_red(
            "unfinished_stays",
            damage::a_failed_checkpoint_does_not_fill_the_disk,
        );
    } else {
        println!("NOT RUN: a small disk can only be mounted by root");
    }
}
