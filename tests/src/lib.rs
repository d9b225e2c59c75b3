//! The harness of the tests: what stands on the other side of the wire, and processes.
//!
//! Everything that speaks the originals' protocol here is written from its description and
//! shares no code with distflow, so that a mistake in distflow can't hide behind itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod broker;
mod c_program;
mod child;
mod fake_pmd;
mod folder;
mod frames;
mod gate;
mod original_client;
mod other_brokers;
mod pmd_process;
mod ports;
mod program;
mod transcript;
mod wait;

pub use broker::{Broker, BrokerKind};
pub use c_program::CProgram;
pub use child::Child;
pub use fake_pmd::FakePmd;
pub use folder::TempFolder;
pub use frames::{frame, read_frame};
pub use gate::GatedPmd;
pub use original_client::{OriginalClient, register_payload};
pub use pmd_process::PmdProcess;
pub use ports::free_port;
pub use program::{distflow_library, distflow_program, project_folder};
pub use transcript::{Direction, Generation, NodeFrame, Step, Transcript, What};
pub use wait::{LIMIT, wait_until};
