//! Game sessions over any MQTT broker: who is in, and what state the game is in.
//!
//! Compatible with the originals (mqtt-session.md). Their members all wrote one retained document,
//! and lost each other's writes; here only the creator writes it, and everybody else writes topics
//! of their own (section 9 there). [`Seat`] is one instance's part in one session, [`Lobby`] the list
//! of sessions; both are state machines without I/O and without clocks.
//!
//! Rules beyond those of section 9, each shown by `core/tests/session`:
//!
//! - **Presence is everybody's will.** A creator's will takes away its presence, as a member's does,
//!   and does not close the session: a creator whose connection breaks has the 15 seconds of its
//!   heartbeat to come back, as with the originals.
//! - **Leases.** Members say every 5 s that they are there; the creator removes one of ours that has
//!   not for 15 s while the creator was connected. That is for brokers that die with the will, and
//!   for connections without one.
//! - **The order of documents** of one creator of ours is (closed, term, version, heartbeat), where
//!   the heartbeat is a count. Of an original it is the version; at the same version the later
//!   heartbeat, or one that has gone back by more than half an hour: its clock was set. A lower
//!   version with a later heartbeat is taken: the creator itself has adopted it.
//! - **A retained presence is no wish to join a session that is new.** It was left behind by an
//!   earlier one of the same id, and is taken away.
//! - **Whoever has left comes back by its own presence only**, or by the document of an original that
//!   has seen it leave (its version is greater than the one without it).
//! - **An id in use.** A creator that finds a document of somebody else waits whether its heartbeat
//!   changes. If it does, creating fails; if not, the id is taken over. Of two that create in the
//!   same instant the lower instance id stays.
//! - **Handing over.** Whoever wants to continue a session claims the next term on a topic of the
//!   session. The broker puts claims in one order, the same for all; the first of a term has it. Its
//!   claimant continues as soon as it has read it back. Should a broker have lost a claim, and two
//!   creators be of one term, the lower instance id stays.
//! - **Refusals are said.** A document of ours names who asked and was refused, for 5 s.
//! - **Tidying.** The creator empties the topics 5 s after the end. If it does not, members do after
//!   8 to 12 s, and whoever only looks at the list after 60 to 80 s without a heartbeat.

pub mod completeness;
pub mod date;
pub mod document;
mod json;
pub mod lobby;
pub(crate) mod message;
mod players;
pub mod rows;
pub mod seat;
pub(crate) mod topic;

pub use self::completeness::Completeness;
pub use self::date::{LocalTime, Moment};
pub use self::document::{Document, State, Vocabulary};
pub use self::lobby::Lobby;
pub use self::message::StartKind;
pub use self::seat::{Action, CreateOptions, Ending, Event, Refusal, Role, Seat, Timing};
