//! A host program with a `tracing` subscriber of its own keeps it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use distflow_core::ErrorKind;
use distflow_core::log::{Level, capture};
use tracing::subscriber::{NoSubscriber, set_global_default};

#[test]
fn a_subscriber_of_the_host_stays() {
    set_global_default(NoSubscriber::new()).unwrap();
    for _ in 0..2 {
        let error = capture(Level::Trace).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyRunning);
        assert!(error.to_string().contains("subscriber"), "{error}");
    }
}
