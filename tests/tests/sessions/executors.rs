//! Sessions in programs without tokio: whatever polls a future of ours, on whatever thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Duration;

use distflow_tests::LIMIT;

use crate::brokers::{Broker, OfBroker, on_both};
use crate::people::room_for;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The least executor that there is: no reactor, no clock.
fn block_on<F: Future>(future: F) -> F::Output {
    assert!(tokio::runtime::Handle::try_current().is_err());
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        std::thread::park();
    }
}

on_both!(
    a_session_is_left_on_any_executor,
    threads_that_wait_at_once_leave,
);

fn a_session_is_left_on_any_executor(broker: &mut Broker) {
    block_on(async {
        let sessions = broker.sessions();
        let session = sessions.create(None, room_for(2)).await.unwrap();
        let list = sessions.list().await.unwrap();
        session.take_events();
        // Nothing happens here, so the time has to end it.
        assert!(!session.await_events(Duration::from_millis(50)).await);
        let (version, _) = list.sessions();
        list.await_changed(version, Duration::from_millis(50)).await;
        session.leave().await;
        while session.next_event().await.is_some() {}
        assert!(session.await_events(LIMIT).await);
    });
}

/// Only one thread can drive; the others wait without a runtime.
fn threads_that_wait_at_once_leave(broker: &mut Broker) {
    let sessions = broker.sessions();
    let mut threads = Vec::new();
    for _ in 0..4 {
        let sessions = sessions.clone();
        threads.push(std::thread::spawn(move || {
            let session = sessions.wait(sessions.create(None, room_for(2))).unwrap();
            session.leave_within(LIMIT).unwrap();
        }));
    }
    for thread in threads {
        thread.join().unwrap();
    }
}
