//! The scenarios of documents in `tests/conformance`, in Rust; the other languages carry them out in
//! `tests/node/conformance.test.mjs`.

use std::collections::HashMap;

use distflow_core::crdt::document::Received;
use distflow_core::crdt::op::Op;
use distflow_core::interchange::{self, Place};
use distflow_core::{ErrorKind, JsonCrdt, Result};
use serde_json::{Value, json};

fn parsed(text: impl AsRef<str>) -> Value {
    serde_json::from_str(text.as_ref()).unwrap()
}

/// A value of a step with `$name.member` put in.
fn filled(value: &Value, saved: &HashMap<String, Value>) -> Value {
    match value {
        Value::String(text) if text.starts_with('$') => {
            let (name, member) = text[1..].split_once('.').unwrap();
            saved[name][member].clone()
        }
        Value::Array(items) => items.iter().map(|item| filled(item, saved)).collect(),
        Value::Object(members) => {
            let members = members.iter();
            Value::Object(
                members
                    .map(|(key, item)| (key.clone(), filled(item, saved)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

/// Whether all that is expected is there; `"*"` is anything.
fn matches(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (_, Value::String(any)) if any == "*" => true,
        (_, Value::Object(expected)) if expected.contains_key("$not") => {
            !matches(found, &expected["$not"])
        }
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| matches(a, b))
        }
        (Value::Object(found), Value::Object(expected)) if !expected.is_empty() => {
            let mut expected = expected.iter();
            expected.all(|(key, item)| found.get(key).is_some_and(|found| matches(found, item)))
        }
        (Value::Number(found), Value::Number(expected)) => found.as_f64() == expected.as_f64(),
        _ => found == expected,
    }
}

fn carry_out(
    documents: &mut HashMap<String, JsonCrdt>,
    call: &str,
    on: &str,
    with: &Value,
) -> Result<Value> {
    let text = |name: &str| with[name].to_string();
    if call == "doc.open" {
        let or_empty = |name: &str| match &with[name] {
            Value::Null => "{}".to_owned(),
            value => value.to_string(),
        };
        let replica = with["replica"].as_str().unwrap();
        let document = interchange::document(replica, &or_empty("initial"), &or_empty("options"))?;
        document.set_listening(true);
        documents.insert(on.to_owned(), document);
        return Ok(Value::Null);
    }
    let document = &documents[on];
    let op = |op: Op| json!({"op": parsed(op.encode())});
    Ok(match call {
        "doc.set" => op(document.set(
            Place(&text("path")),
            distflow_core::crdt::json::Json::parse(text("value"))?,
        )?),
        "doc.delete" => op(document.delete(Place(&text("path")))?),
        "doc.get" => {
            let found = document.get(Place(&text("path")))?;
            found.map_or(Value::Null, |json| parsed(json.as_str()))
        }
        "doc.read" => json!({
            "value": parsed(document.json().as_str()),
            "canonical": document.canonical(),
            "hash": document.hash(),
            "clock": parsed(interchange::clock_text(&document.clock())),
        }),
        "doc.receive" => {
            let received = document.receive(Op::decode(text("op"))?)?;
            Value::Bool(received == Received::Applied)
        }
        "doc.receiveAll" => {
            for op in interchange::read_operations(&text("ops"))? {
                document.receive(op)?;
            }
            Value::Null
        }
        "doc.since" => {
            let difference = document.since(&interchange::clock(&text("clock"))?);
            let ops = parsed(interchange::operations(&difference));
            json!({"ops": ops, "complete": difference.is_complete})
        }
        "doc.snapshot" => json!({"snapshot": parsed(document.snapshot_json())}),
        "doc.restore" => document.restore(text("snapshot")).map(|()| Value::Null)?,
        "doc.merge" => document.merge(text("snapshot")).map(|()| Value::Null)?,
        "doc.pieces" => {
            let bytes = with["bytes"].as_u64().unwrap() as usize;
            json!({"pieces": document.snapshot_pieces(bytes)?})
        }
        "doc.mergePieces" => {
            let mut is_whole = false;
            for piece in with["pieces"].as_array().unwrap() {
                is_whole |= document.merge_piece(piece.as_str().unwrap())?;
            }
            Value::Bool(is_whole)
        }
        "doc.events" => parsed(interchange::document_events(document)),
        "doc.close" => {
            documents.remove(on);
            Value::Null
        }
        other => panic!("there is no {other}"),
    })
}

fn run(name: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/conformance/");
    let scenario = parsed(std::fs::read_to_string(format!("{folder}{name}")).unwrap());
    let (mut documents, mut saved) = (HashMap::new(), HashMap::new());
    for step in scenario["steps"].as_array().unwrap() {
        // What only JavaScript does in another way.
        if step["only"] == json!(["node"]) {
            continue;
        }
        let (call, on) = (step["call"].as_str().unwrap(), step["on"].as_str().unwrap());
        let with = filled(&step["with"], &saved);
        let result = carry_out(&mut documents, call, on, &with);
        if let Some(code) = step["fails"].as_str() {
            let kind = result.map_err(|error| error.kind());
            let found = kind.as_ref().err().map(|kind: &ErrorKind| kind.name());
            assert_eq!(found, Some(code), "{step}");
            continue;
        }
        let result = result.unwrap_or_else(|error| panic!("{step}: {error}"));
        if let Some(gives) = step.get("gives") {
            let expected = filled(gives, &saved);
            assert!(matches(&result, &expected), "{step}\nfound {result}");
        }
        if let Some(name) = step["as"].as_str() {
            saved.insert(name.to_owned(), result);
        }
    }
}

#[test]
fn documents() {
    run("documents.json");
}

#[test]
fn what_diverged() {
    run("documents-divergence.json");
}
