//! What is compared: each as its own documentation says to use it.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use distflow_core::crdt::document::{Document, Options};
use distflow_core::crdt::op::Op;
use distflow_core::crdt::path::Path;
use distflow_core::crdt::json::Json;
use loro::{ExportMode, LoroDoc, LoroMap, ValueOrContainer};
use yrs::updates::decoder::Decode;
use yrs::{Doc, Map, MapPrelim, MapRef, Out, ReadTxn, StateVector, Transact, Update};

pub trait Contestant: Sized {
    /// Two replicas with the same content.
    fn pair(keys: usize) -> (Self, Self);
    /// Writes the `v` of a key; the message for the others.
    fn set(&mut self, key: usize, value: i64) -> &[u8];
    fn receive(&mut self, message: &[u8]);
    /// Takes in whatever the other has.
    fn catch_up(&mut self, other: &mut Self);
    fn value(&mut self, key: usize) -> Option<i64>;
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

fn name(key: usize) -> String {
    format!("key{key}")
}

pub struct Distflow {
    document: Document,
    paths: Vec<Path>,
    out: Vec<u8>,
}

impl Contestant for Distflow {
    fn pair(keys: usize) -> (Self, Self) {
        let members: Vec<String> = (0..keys)
            .map(|key| format!("\"key{key}\":{{\"v\":{key},\"s\":\"s{key}\"}}"))
            .collect();
        let initial = Json::parse(format!("{{\"k\":{{{}}}}}", members.join(","))).unwrap();
        let paths = || (0..keys).map(|key| vec!["k".into(), name(key).as_str().into(), "v".into()]);
        let make = |replica| Self {
            document: Document::new(replica, initial.clone(), Options::default()).unwrap(),
            paths: paths().collect(),
            out: Vec::new(),
        };
        (make("A"), make("B"))
    }

    fn set(&mut self, key: usize, value: i64) -> &[u8] {
        let op = self.document.set(&self.paths[key], value, now_ms()).unwrap();
        self.out.clear();
        op.encode_into(&mut self.out);
        &self.out
    }

    fn receive(&mut self, message: &[u8]) {
        self.document.receive(Op::decode(message).unwrap(), now_ms()).unwrap();
    }

    fn catch_up(&mut self, other: &mut Self) {
        self.document.merge(&other.document.snapshot(), now_ms()).unwrap();
    }

    fn value(&mut self, key: usize) -> Option<i64> {
        self.document.get(&self.paths[key])?.as_str().parse().ok()
    }
}

pub struct Yrs {
    doc: Doc,
    maps: Vec<MapRef>,
    out: Vec<u8>,
}

impl Yrs {
    fn of(doc: Doc, keys: usize) -> Self {
        let root = doc.get_or_insert_map("k");
        let txn = doc.transact();
        let maps = (0..keys)
            .map(|key| match root.get(&txn, &name(key)) {
                Some(Out::YMap(map)) => map,
                other => panic!("{other:?} is no map"),
            })
            .collect();
        drop(txn);
        Self { doc, maps, out: Vec::new() }
    }
}

impl Contestant for Yrs {
    fn pair(keys: usize) -> (Self, Self) {
        let (a, b) = (Doc::new(), Doc::new());
        let root = a.get_or_insert_map("k");
        let mut txn = a.transact_mut();
        for key in 0..keys {
            let map = root.insert(&mut txn, name(key), MapPrelim::default());
            map.insert(&mut txn, "v", key as i64);
            map.insert(&mut txn, "s", format!("s{key}"));
        }
        let state = txn.encode_state_as_update_v1(&StateVector::default());
        drop(txn);
        b.get_or_insert_map("k");
        let update = Update::decode_v1(&state).unwrap();
        b.transact_mut().apply_update(update).unwrap();
        (Self::of(a, keys), Self::of(b, keys))
    }

    fn set(&mut self, key: usize, value: i64) -> &[u8] {
        let mut txn = self.doc.transact_mut();
        self.maps[key].insert(&mut txn, "v", value);
        self.out = txn.encode_update_v1();
        &self.out
    }

    fn receive(&mut self, message: &[u8]) {
        let update = Update::decode_v1(message).unwrap();
        self.doc.transact_mut().apply_update(update).unwrap();
    }

    fn catch_up(&mut self, other: &mut Self) {
        let known = self.doc.transact().state_vector();
        let missing = other.doc.transact().encode_diff_v1(&known);
        self.receive(&missing);
    }

    fn value(&mut self, key: usize) -> Option<i64> {
        match self.maps[key].get(&self.doc.transact(), "v") {
            Some(Out::Any(value)) => value.to_string().parse().ok(),
            _ => None,
        }
    }
}

pub struct Loro {
    doc: LoroDoc,
    maps: Vec<LoroMap>,
    out: Vec<u8>,
}

impl Loro {
    fn of(doc: LoroDoc, keys: usize) -> Self {
        let root = doc.get_map("k");
        let maps = (0..keys)
            .map(|key| match root.get(&name(key)) {
                Some(ValueOrContainer::Container(loro::Container::Map(map))) => map,
                other => panic!("{other:?} is no map"),
            })
            .collect();
        Self { doc, maps, out: Vec::new() }
    }
}

impl Contestant for Loro {
    fn pair(keys: usize) -> (Self, Self) {
        let (a, b) = (LoroDoc::new(), LoroDoc::new());
        let root = a.get_map("k");
        for key in 0..keys {
            let map = root.insert_container(&name(key), LoroMap::new()).unwrap();
            map.insert("v", key as i64).unwrap();
            map.insert("s", format!("s{key}")).unwrap();
        }
        a.commit();
        b.import(&a.export(ExportMode::Snapshot).unwrap()).unwrap();
        (Self::of(a, keys), Self::of(b, keys))
    }

    fn set(&mut self, key: usize, value: i64) -> &[u8] {
        let from = self.doc.oplog_vv();
        self.maps[key].insert("v", value).unwrap();
        self.doc.commit();
        self.out = self.doc.export(ExportMode::updates(&from)).unwrap();
        &self.out
    }

    fn receive(&mut self, message: &[u8]) {
        self.doc.import(message).unwrap();
    }

    fn catch_up(&mut self, other: &mut Self) {
        let missing = other.doc.export(ExportMode::updates(&self.doc.oplog_vv())).unwrap();
        self.receive(&missing);
    }

    fn value(&mut self, key: usize) -> Option<i64> {
        match self.maps[key].get("v") {
            Some(ValueOrContainer::Value(value)) => value.into_i64().ok(),
            _ => None,
        }
    }
}

/// A map of paths to stamped text: what any document has to do at least.
pub struct Bare {
    values: HashMap<String, (u64, String)>,
    names: Vec<String>,
    stamp: u64,
    out: Vec<u8>,
}

impl Contestant for Bare {
    fn pair(keys: usize) -> (Self, Self) {
        let make = || Self {
            values: (0..keys).map(|key| (format!(".k.key{key}.v"), (0, key.to_string()))).collect(),
            names: (0..keys).map(|key| format!(".k.key{key}.v")).collect(),
            stamp: 0,
            out: Vec::new(),
        };
        (make(), make())
    }

    fn set(&mut self, key: usize, value: i64) -> &[u8] {
        use std::io::Write as _;
        self.stamp += 1;
        let name = &self.names[key];
        if let Some(place) = self.values.get_mut(name) {
            *place = (self.stamp, value.to_string());
        }
        self.out.clear();
        write!(self.out, "{name} {} {value}", self.stamp).unwrap();
        &self.out
    }

    fn receive(&mut self, message: &[u8]) {
        let mut words = std::str::from_utf8(message).unwrap().split(' ');
        let mut word = || words.next().unwrap();
        let (name, stamp, value) = (word(), word().parse().unwrap(), word());
        if let Some(place) = self.values.get_mut(name).filter(|(known, _)| *known < stamp) {
            *place = (stamp, value.to_owned());
        }
    }

    fn catch_up(&mut self, other: &mut Self) {
        self.values.clone_from(&other.values);
        self.stamp = other.stamp;
    }

    fn value(&mut self, key: usize) -> Option<i64> {
        self.values.get(&self.names[key])?.1.parse().ok()
    }
}
