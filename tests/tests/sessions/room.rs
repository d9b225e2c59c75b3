//! Calls that nobody takes up are bounded.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};

use distflow_core::limits::{
    SESSION_CALLS_BYTES_MAX, SESSION_CALLS_MAX, SESSION_PAYLOAD_BYTES_MAX,
};
use distflow_core::mqtt::BrokerOptions;
use distflow_core::session::seat::CreateOptions;
use distflow_core::sessions::{Session, Sessions};
use distflow_core::{ErrorKind, Result};
use distflow_tests::{Broker, BrokerKind};

type Call<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Begins calls until one is refused, and gives those that wait.
fn fill<'a>(call: impl Fn(usize) -> Call<'a>) -> Vec<Call<'a>> {
    let mut begun = Vec::new();
    // Were there no bound, this ends all the same.
    for at in 0..2 * SESSION_CALLS_MAX {
        let mut call = call(at);
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => begun.push(call),
            Poll::Ready(result) => {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                break;
            }
        }
    }
    begun
}

/// Nothing of the network runs while this does, as if the broker took nothing.
fn while_nothing_runs<T>(run: impl FnOnce() -> T) -> T {
    let ((stopped, has_stopped), (go_on, goes_on)) = (channel(), channel::<()>());
    distflow_core::spawn(async move {
        stopped.send(()).unwrap();
        // An error says that the test has failed.
        let _ = goes_on.recv();
    })
    .unwrap();
    has_stopped.recv().unwrap();
    let done = run();
    drop(go_on);
    done
}

#[test]
fn calls_that_nobody_takes_up_are_refused_at_a_bound() {
    let broker = Broker::start(BrokerKind::InTheBox);
    let sessions = Sessions::new(BrokerOptions::parse(&broker.url()).unwrap()).unwrap();
    let session = sessions
        .wait(sessions.create(None, CreateOptions::default()))
        .unwrap();
    let session: &Session = &session;
    let publish =
        |bytes: usize| move |_| -> Call<'_> { Box::pin(session.publish("a", vec![0; bytes])) };
    let release = |at: usize| -> Call<'_> {
        Box::pin(async move { session.release(&format!("{at}")).await })
    };

    let all = |calls: Vec<Call<'_>>| {
        for call in calls {
            sessions.wait(call).unwrap();
        }
    };
    let calls = while_nothing_runs(|| fill(publish(1)));
    assert_eq!(calls.len(), SESSION_CALLS_MAX);
    all(calls);
    let calls = while_nothing_runs(|| fill(release));
    assert_eq!(calls.len(), SESSION_CALLS_MAX);
    all(calls);
    let calls = while_nothing_runs(|| fill(publish(SESSION_PAYLOAD_BYTES_MAX)));
    assert_eq!(
        calls.len(),
        SESSION_CALLS_BYTES_MAX / SESSION_PAYLOAD_BYTES_MAX
    );
    // Leaving needs no room, and does not overtake.
    let leaving = while_nothing_runs(|| {
        let calls = fill(publish(1));
        let mut leaving: Pin<Box<dyn Future<Output = ()>>> = Box::pin(session.leave());
        let polled = leaving
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        (calls, leaving)
    });
    all(calls);
    all(leaving.0);
    sessions
        .wait(async {
            leaving.1.await;
            Ok(())
        })
        .unwrap();
}
