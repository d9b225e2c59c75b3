//! Game sessions on real brokers: the one in the box, and Mosquitto.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod brokers;
mod changed;
mod clocks;
mod command_line;
mod connections;
mod executors;
mod in_the_box;
mod loss;
mod originals;
mod people;
mod room;
mod scenarios;
mod silence;
mod storm;
