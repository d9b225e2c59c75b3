//! Sending, the call that a program makes for each message.

use std::cell::RefCell;

use distflow_core::{Node, Payload, Result, Sending};
use napi::Env;
use napi::bindgen_prelude::Function;

use crate::failure;
use crate::outbox::CallId;
use crate::text::Text;

/// What the function returns for a message in the queue of an established connection, and for
/// one whose result comes later.
const DONE: u32 = 0;
const LATER: u32 = 1;

/// Makes the function that sends: `(text, call, held, target?)`. Text is JSON, or undefined for
/// a message without a payload; `held` means that it is one of several, which are written
/// together. Without a target, it is that of the last message.
///
/// It returns 0 or 1 as above, and throws what is known at once. With 1, `wait` gets the call.
///
/// A plain function, because a method of a class would cost more than all it does.
pub fn function<'env>(
    env: &'env Env,
    node: impl Fn() -> Result<Node> + 'static,
    wait: impl Fn(CallId, Sending) + 'static,
) -> napi::Result<Function<'env, (), u32>> {
    let last = RefCell::new(String::new());
    // A panic in it becomes an exception.
    env.create_function_from_closure("send", move |context| {
        if context.length() > 3 {
            last.replace(context.get(3)?);
        }
        let text = context.get::<Option<Text>>(0)?;
        let (call, held) = (context.get::<CallId>(1)?, context.get::<bool>(2)?);
        let send = || {
            let payload = match text {
                Some(Text(json)) => Payload::from_json(json)?,
                None => Payload::absent(),
            };
            let (node, target) = (node()?, last.borrow());
            if held {
                node.begin_send_held(&target, &payload)
            } else {
                node.begin_send(&target, &payload)
            }
        };
        match send().map_err(|error| failure::thrown(&error))? {
            None => Ok(DONE),
            Some(sending) => {
                wait(call, sending);
                Ok(LATER)
            }
        }
    })
}
