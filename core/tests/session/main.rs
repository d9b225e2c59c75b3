//! Sessions on a simulated broker: what is promised (S1 to S3 of `docs/guarantees.md`), by hand and by
//! random walks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod begun;
mod beside_originals;
mod breaks;
mod broker;
mod ends;
mod handing_over;
mod original;
mod originals;
#[cfg(feature = "plants")]
mod plants;
mod players;
mod scenarios;
mod walks;
mod world;
