//! Calls of game sessions, as part of a sequence.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;

use distflow::session::*;
use distflow::session_events::*;
use distflow::session_list::*;
use distflow::session_play::*;
use distflow_core::mqtt::broker::{Broker, BrokerSettings};

use super::*;

/// Where the broker of this process is, as JSON. It runs until the process ends.
fn broker() -> &'static str {
    static BROKER: OnceLock<(Broker, String)> = OnceLock::new();
    let (_, options) = BROKER.get_or_init(|| {
        let broker = Broker::start(BrokerSettings {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            ..BrokerSettings::default()
        });
        let broker = broker.unwrap();
        let address = broker.addresses()[0];
        let options = format!("{{\"url\":\"mqtt://{address}\",\"connectTimeoutMs\":{LIMIT_MS}}}");
        (broker, options)
    });
    options
}

/// Options that cannot be right: they fail before anything is connected.
fn wrong_options<'a>(input: &mut Input<'a>) -> &'a [u8] {
    match input.byte() % 8 {
        0 => b"{",
        1 => b"{\"url\":\"\"}",
        2 => b"{\"url\":\"mqtt://\"}",
        3 => b"{\"keepAliveS\":65536}",
        4 => b"{\"connectTimeoutMs\":-1}",
        5 => b"{\"mqttVersion\":5}",
        6 => &[b'['; 100],
        _ => b"\xff",
    }
}

fn read_event(event: &distflow_session_event) {
    let texts = [
        &event.kind,
        &event.instance,
        &event.player,
        &event.name,
        &event.json,
    ];
    texts.into_iter().for_each(read_text);
    assert!(event.kind.len > 0 && event.json.len > 0);
    // SAFETY: the library promises a NUL byte behind it.
    let payload = unsafe {
        std::slice::from_raw_parts(event.payload.data.cast::<u8>(), event.payload.len + 1)
    };
    assert_eq!(payload.last(), Some(&0));
}

unsafe extern "C" fn on_session_event(
    session: *mut distflow_session,
    event: *const distflow_session_event,
    context: *mut c_void,
) {
    // SAFETY: the library lends the event during the call.
    read_event(unsafe { &*event });
    let script = script_of(context);
    if script & 1 != 0 {
        let status = distflow_session_leave(session, -1);
        assert!(status == DISTFLOW_REENTRANT_CALL || status == DISTFLOW_INVALID_HANDLE);
    }
    if script & 128 != 0 {
        distflow_session_free(session);
    }
    script_of(context);
}

/// Looks at a session that there is not; the cheapest that there is.
pub(super) fn observe(id: *const c_char) -> (*mut distflow_session, distflow_status) {
    let (mut session, broker) = (null_mut(), broker());
    // SAFETY: every pointer is valid, and lengths are true.
    let status =
        unsafe { distflow_session_observe(broker.as_ptr().cast(), broker.len(), id, &mut session) };
    check(Known::Live, status);
    assert_eq!(status == DISTFLOW_OK, !session.is_null());
    (session, status)
}

pub(super) fn open_list() -> *mut distflow_session_list {
    let (mut list, broker) = (null_mut(), broker());
    // SAFETY: every pointer is valid, and lengths are true.
    let status =
        unsafe { distflow_session_list_open(broker.as_ptr().cast(), broker.len(), &mut list) };
    check(Known::Live, status);
    assert_eq!(status, DISTFLOW_OK);
    list
}

impl World {
    pub(super) fn open_session(&mut self, input: &mut Input<'_>) {
        let how = input.byte();
        if !self.may_be_slow(input) {
            let (options, id) = (wrong_options(input), Text::read(input));
            let (data, len) = (options.as_ptr().cast(), options.len());
            let (mut session, mut list) = (null_mut(), null_mut());
            // SAFETY: lengths are true, and the text what it should be.
            let status = unsafe {
                match how % 4 {
                    0 => {
                        let id = id.pointer();
                        distflow_session_create(data, len, id, null(), 0, &mut session)
                    }
                    1 => distflow_session_join(data, len, id.pointer(), &mut session),
                    2 => distflow_session_observe(data, len, id.pointer(), &mut session),
                    _ => distflow_session_list_open(data, len, &mut list),
                }
            };
            check(Known::Live, status);
            assert_eq!(status, DISTFLOW_INVALID_ARGUMENT);
            assert!(session.is_null() && list.is_null());
            return;
        }
        match how % 4 {
            0 | 1 => {
                let (broker, mut session) = (broker(), null_mut());
                let options = match how / 4 % 4 {
                    0 => "",
                    1 => "{\"handOver\":true,\"playersMax\":2}",
                    2 => "{\"playersMin\":0}",
                    _ => "{\"autoStartS\":0,\"playersMax\":1}",
                };
                // SAFETY: every pointer is valid, and lengths are true.
                let status = unsafe {
                    distflow_session_create(
                        broker.as_ptr().cast(),
                        broker.len(),
                        null(),
                        options.as_ptr().cast(),
                        options.len(),
                        &mut session,
                    )
                };
                check(Known::Live, status);
                if !session.is_null() {
                    self.keep(Kind::Session, session as usize);
                }
            }
            2 => {
                let (session, _) = observe(Text::read(input).pointer());
                if !session.is_null() {
                    self.keep(Kind::Session, session as usize);
                }
            }
            _ => self.keep(Kind::List, open_list() as usize),
        }
    }

    pub(super) fn call_session(&mut self, input: &mut Input<'_>) {
        let which = input.byte();
        let (handle, known) = self.handle(input, Kind::Session);
        let session = handle as *mut distflow_session;
        let wait = if known == Known::Dead { -1 } else { 0 };
        match which % 12 {
            0 => {
                let gives = [
                    distflow_session_id,
                    distflow_session_instance,
                    distflow_session_view,
                ];
                let gives = gives[usize::from(input.byte()) % gives.len()];
                filled!(known, |_: &distflow_buf| (), distflow_buf_free, |out| {
                    gives(session, out)
                });
            }
            1 => check(
                known,
                distflow_session_start(session, input.extreme() as u32),
            ),
            2 => {
                let to = Text::read(input);
                // SAFETY: handles may be anything, and the text is what it should be.
                check(known, unsafe {
                    distflow_session_hand_over(session, to.pointer())
                });
            }
            3..=5 => {
                let player = Text::read(input);
                let call = [
                    distflow_session_reserve,
                    distflow_session_release,
                    distflow_session_register,
                ][usize::from(which % 12 - 3)];
                // SAFETY: handles may be anything, and the text is what it should be.
                check(known, unsafe { call(session, player.pointer()) });
            }
            6 => {
                let (name, payload) = (Text::read(input), payload(input));
                let data = payload.as_ptr().cast();
                // SAFETY: as above, and the payload is as long as is said.
                check(known, unsafe {
                    distflow_session_publish(session, name.pointer(), data, payload.len())
                });
            }
            7 | 8 => filled!(known, read_event, distflow_session_event_free, |out| {
                distflow_session_recv_event(session, wait, out)
            }),
            9 => {
                let script = self.script(input, handle);
                let known = match known {
                    Known::Live if script & 128 != 0 => Known::Unsure,
                    known => known,
                };
                let context = self.probe(script);
                let callback = (which & 64 == 0).then_some(on_session_event as _);
                let mut fd = 0;
                // SAFETY: the callback takes this context on any thread.
                unsafe {
                    check(known, distflow_session_fd(session, &mut fd));
                    let drop = Some(drop_probe as _);
                    let status = distflow_session_on_event(session, callback, context, drop);
                    check(known, status);
                }
            }
            10 => {
                if self.may_end(input, handle, known) {
                    check(known, distflow_session_end(session));
                    check(known, distflow_session_leave(session, LIMIT_MS));
                }
            }
            _ => {
                if self.may_end(input, handle, known) {
                    distflow_session_free(session);
                    self.forget(handle, Kind::Session);
                }
            }
        }
    }

    pub(super) fn call_list(&mut self, input: &mut Input<'_>) {
        let which = input.byte();
        let (handle, known) = self.handle(input, Kind::List);
        let list = handle as *mut distflow_session_list;
        match which % 4 {
            0 | 1 => {
                let own = Text::read(input);
                filled!(known, |_: &distflow_buf| (), distflow_buf_free, |out| {
                    distflow_session_list_sessions(list, own.pointer(), out)
                });
            }
            2 => {
                let wait = if known == Known::Dead { -1 } else { 0 };
                // SAFETY: handles may be anything.
                check(known, unsafe {
                    distflow_session_list_wait(list, input.extreme(), wait, null_mut())
                });
            }
            _ => {
                if self.may_end(input, handle, known) {
                    distflow_session_list_free(list);
                    self.forget(handle, Kind::List);
                }
            }
        }
    }
}
