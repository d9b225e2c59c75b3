//! Feed of events: each is kept once for all who watch, and each of them reads at its own pace.
//!
//! [`Outgoing`] is what waits for one connection: answers of its own, and its place in the feed.
//! Pure, like the registry: whoever owns the sockets asks for the next bytes and says how many
//! went.

use std::collections::VecDeque;
use std::sync::Arc;

use super::output::Kind;
use crate::limits;

/// Events, back to back, that somebody has not read yet.
#[derive(Debug, Default)]
struct Log {
    chunks: VecDeque<Chunk>,
    /// Number of the first chunk.
    first: u64,
    /// Bytes that were ever appended.
    end: u64,
    readers: usize,
}

#[derive(Debug)]
struct Chunk {
    start: u64,
    bytes: Vec<u8>,
    readers: usize,
}

/// A place in a log. It keeps what is behind it from being forgotten.
#[derive(Debug)]
struct Reader {
    kind: Kind,
    chunk: u64,
    at: u64,
}

impl Log {
    fn push(&mut self, frame: &[u8]) {
        if self.readers == 0 {
            return;
        }
        match self.chunks.back_mut() {
            Some(chunk) if chunk.bytes.len() + frame.len() <= limits::FEED_CHUNK_BYTES => {
                chunk.bytes.extend_from_slice(frame);
            }
            _ => self.chunks.push_back(Chunk {
                start: self.end,
                bytes: frame.to_vec(),
                readers: 0,
            }),
        }
        self.end += frame.len() as u64;
    }

    fn len(&self) -> usize {
        let start = self.chunks.front().map_or(self.end, |chunk| chunk.start);
        (self.end - start) as usize
    }

    fn index(&self, number: u64) -> usize {
        (number - self.first) as usize
    }

    fn join(&mut self, kind: Kind) -> Reader {
        if self.chunks.is_empty() {
            self.chunks.push_back(Chunk {
                start: self.end,
                bytes: Vec::new(),
                readers: 0,
            });
        }
        self.readers += 1;
        let last = self.chunks.len() - 1;
        self.chunks[last].readers += 1;
        Reader {
            kind,
            chunk: self.first + last as u64,
            at: self.end,
        }
    }

    fn leave(&mut self, reader: &Reader) {
        let at = self.index(reader.chunk);
        self.chunks[at].readers -= 1;
        self.readers -= 1;
        self.trim();
    }

    /// Forgets what everybody has read.
    fn trim(&mut self) {
        while self.chunks.front().is_some_and(|chunk| chunk.readers == 0)
            && (self.chunks.len() > 1 || self.readers == 0)
        {
            self.chunks.pop_front();
            self.first += 1;
        }
        if self.chunks.is_empty() {
            self.chunks = VecDeque::new();
        }
    }

    /// What comes next for a reader, up to a place, as far as it is in one piece.
    fn rest(&self, reader: &Reader, until: u64) -> &[u8] {
        for chunk in self.chunks.range(self.index(reader.chunk)..) {
            let from = (reader.at - chunk.start) as usize;
            let to = chunk.bytes.len().min((until - chunk.start) as usize);
            if from < to {
                return &chunk.bytes[from..to];
            }
            if from < chunk.bytes.len() {
                break;
            }
        }
        &[]
    }

    fn advance(&mut self, reader: &mut Reader, bytes: usize) {
        reader.at += bytes as u64;
        let (from, mut to) = (self.index(reader.chunk), self.index(reader.chunk));
        // The end of a chunk is the beginning of the next.
        while to + 1 < self.chunks.len() && self.chunks[to + 1].start <= reader.at {
            to += 1;
        }
        if from != to {
            reader.chunk = self.first + to as u64;
            self.chunks[to].readers += 1;
            self.chunks[from].readers -= 1;
            self.trim();
        }
    }
}

/// The events for every kind of client.
#[derive(Debug, Default)]
pub struct Feeds {
    logs: [Log; Kind::COUNT],
}

impl Feeds {
    /// Appends a frame for every watcher of a kind.
    pub fn push(&mut self, kind: Kind, frame: &[u8]) {
        self.logs[kind.index()].push(frame);
    }

    /// Bytes that wait for the slowest watcher of any kind.
    pub fn longest(&self) -> usize {
        self.logs.iter().map(Log::len).max().unwrap_or(0)
    }

    fn log(&mut self, kind: Kind) -> &mut Log {
        &mut self.logs[kind.index()]
    }
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Shared(Arc<[u8]>),
    /// Events up to a place in the log.
    Events(u64),
}

/// What waits for one connection, in order.
#[derive(Debug, Default)]
pub struct Outgoing {
    pieces: VecDeque<Piece>,
    /// How much of the first piece has gone, unless that is events.
    written: usize,
    /// Bytes of the pieces that are no events.
    answers: usize,
    reader: Option<Reader>,
    /// Gets no events beyond the last piece.
    sealed: bool,
    /// Something was taken since the last look at those who are slow.
    took: bool,
    /// How many looks in a row nothing was taken.
    stalls: u32,
}

impl Outgoing {
    /// Whether it watches.
    pub fn watches(&self) -> bool {
        self.reader.is_some() && !self.sealed
    }

    /// Bytes of answers that wait.
    pub fn answer_bytes(&self) -> usize {
        self.answers - self.written
    }

    /// Bytes of events that wait.
    pub fn event_bytes(&self, feeds: &Feeds) -> usize {
        let Some(reader) = &self.reader else { return 0 };
        let until = if self.sealed {
            self.marked(reader)
        } else {
            feeds.logs[reader.kind.index()].end
        };
        (until - reader.at) as usize
    }

    /// Where the last events among the pieces end.
    fn marked(&self, reader: &Reader) -> u64 {
        let mut pieces = self.pieces.iter().rev();
        let last = pieces.find_map(|piece| match piece {
            Piece::Events(until) => Some(*until),
            _ => None,
        });
        last.unwrap_or(reader.at)
    }

    /// Bytes that wait in all.
    pub fn bytes(&self, feeds: &Feeds) -> usize {
        self.answer_bytes() + self.event_bytes(feeds)
    }

    /// The events so far come before what follows.
    fn mark_events(&mut self, feeds: &Feeds) {
        if let Some(reader) = self.reader.as_ref().filter(|_| !self.sealed) {
            let end = feeds.logs[reader.kind.index()].end;
            if end > self.marked(reader) {
                self.pieces.push_back(Piece::Events(end));
            }
        }
    }

    /// Queues an answer, behind all that happened before it.
    pub fn answer(&mut self, feeds: &Feeds, bytes: &[u8]) {
        self.mark_events(feeds);
        self.answers += bytes.len();
        match self.pieces.back_mut() {
            Some(Piece::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push_back(Piece::Bytes(bytes.to_vec())),
        }
    }

    /// Queues the rest of an answer that others get, too.
    pub fn share(&mut self, bytes: &Arc<[u8]>) {
        self.answers += bytes.len();
        self.pieces.push_back(Piece::Shared(bytes.clone()));
    }

    /// Lets the connection have every event from here on, as its kind gets them.
    pub fn watch(&mut self, feeds: &mut Feeds, kind: Kind) {
        if self.sealed || self.reader.as_ref().is_some_and(|old| old.kind == kind) {
            return;
        }
        if self.reader.is_some() {
            self.own_events(feeds);
        }
        self.reader = Some(feeds.log(kind).join(kind));
    }

    /// Takes a copy of the events that wait, and the place in the feed away.
    fn own_events(&mut self, feeds: &mut Feeds) {
        self.mark_events(feeds);
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        let log = feeds.log(reader.kind);
        for piece in &mut self.pieces {
            let Piece::Events(until) = piece else {
                continue;
            };
            let mut bytes = Vec::new();
            while reader.at < *until {
                let rest = log.rest(&reader, *until);
                bytes.extend_from_slice(rest);
                let len = rest.len();
                log.advance(&mut reader, len);
            }
            self.answers += bytes.len();
            *piece = Piece::Bytes(bytes);
        }
        log.leave(&reader);
    }

    /// The next bytes to write, as far as they are in one piece; empty when nothing waits.
    pub fn next<'a>(&'a self, feeds: &'a Feeds) -> &'a [u8] {
        match (self.pieces.front(), &self.reader) {
            (Some(Piece::Bytes(bytes)), _) => &bytes[self.written..],
            (Some(Piece::Shared(bytes)), _) => &bytes[self.written..],
            (Some(Piece::Events(until)), Some(reader)) => {
                feeds.logs[reader.kind.index()].rest(reader, *until)
            }
            (None, Some(reader)) if !self.sealed => {
                let log = &feeds.logs[reader.kind.index()];
                log.rest(reader, log.end)
            }
            _ => &[],
        }
    }

    /// So many of the bytes that `next` gave are written.
    pub fn wrote(&mut self, feeds: &mut Feeds, count: usize) {
        self.took |= count > 0;
        let done = match self.pieces.front() {
            Some(Piece::Bytes(bytes)) => {
                self.written += count;
                (self.written == bytes.len()).then_some(bytes.len())
            }
            Some(Piece::Shared(bytes)) => {
                self.written += count;
                (self.written == bytes.len()).then_some(bytes.len())
            }
            events => {
                let until = match events {
                    Some(Piece::Events(until)) => Some(*until),
                    _ => None,
                };
                if let Some(reader) = &mut self.reader {
                    feeds.logs[reader.kind.index()].advance(reader, count);
                    until.filter(|until| reader.at >= *until).map(|_| 0)
                } else {
                    None
                }
            }
        };
        if let Some(len) = done {
            self.answers -= len;
            self.written = 0;
            self.pieces.pop_front();
            if self.pieces.is_empty() {
                // An idle connection holds no buffer.
                self.pieces = VecDeque::new();
            }
        }
    }

    /// Ends the watch; what happened before is still sent.
    pub fn seal(&mut self, feeds: &Feeds) {
        self.mark_events(feeds);
        self.sealed = true;
    }

    /// Forgets all that waits, and the place in the feed.
    pub fn clear(&mut self, feeds: &mut Feeds) {
        if let Some(reader) = self.reader.take() {
            feeds.log(reader.kind).leave(&reader);
        }
        self.pieces = VecDeque::new();
        (self.written, self.answers, self.sealed) = (0, 0, true);
    }

    /// A look at who is slow, every [`limits::SWEEP_MS`]: whether this one has to be cut off. One
    /// that takes something is not, however far behind it is, up to the bound of the feed.
    pub fn is_stuck(&mut self, feeds: &Feeds, bytes_max: usize) -> bool {
        let took = std::mem::take(&mut self.took);
        if self.event_bytes(feeds) <= bytes_max || took && !crate::plant::active("slow_is_cut") {
            self.stalls = 0;
            return false;
        }
        self.stalls += 1;
        if crate::plant::active("slow_is_cut") {
            return true;
        }
        u64::from(self.stalls) * limits::SWEEP_MS >= limits::WATCHER_STALL_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pmd::Capabilities;

    fn kind() -> Kind {
        Kind::of(Capabilities::all())
    }

    fn drain(out: &mut Outgoing, feeds: &mut Feeds, piece: usize) -> String {
        let mut all = Vec::new();
        loop {
            let next = out.next(feeds);
            let len = next.len().min(piece);
            if len == 0 {
                break String::from_utf8(all).unwrap();
            }
            all.extend_from_slice(&next[..len]);
            out.wrote(feeds, len);
        }
    }

    #[test]
    fn everybody_reads_the_same_at_their_own_pace() {
        let mut feeds = Feeds::default();
        let (mut fast, mut slow) = (Outgoing::default(), Outgoing::default());
        feeds.push(kind(), b"nobody watches ");
        fast.watch(&mut feeds, kind());
        slow.watch(&mut feeds, kind());
        let mut told = String::new();
        let mut read = String::new();
        for n in 0..30_000 {
            let event = format!("event {n};");
            feeds.push(kind(), event.as_bytes());
            told += &event;
            if n % 100 == 0 {
                read += &drain(&mut fast, &mut feeds, usize::MAX);
            }
        }
        assert_eq!(slow.event_bytes(&feeds), told.len());
        read += &drain(&mut fast, &mut feeds, 7);
        assert_eq!(read, told);
        assert!(feeds.longest() >= told.len());
        assert_eq!(drain(&mut slow, &mut feeds, 1_000), told);
        // What all have read is forgotten, but for the chunk at the end.
        assert!(feeds.longest() <= limits::FEED_CHUNK_BYTES);
        fast.clear(&mut feeds);
        slow.clear(&mut feeds);
        assert_eq!(feeds.longest(), 0);
        feeds.push(kind(), b"nobody watches");
        assert_eq!(feeds.longest(), 0);
    }

    #[test]
    fn answers_and_events_keep_their_order() {
        let mut feeds = Feeds::default();
        let mut out = Outgoing::default();
        out.answer(&feeds, b"[watching]");
        out.watch(&mut feeds, kind());
        feeds.push(kind(), b"(1)");
        feeds.push(kind(), b"(2)");
        out.answer(&feeds, b"[a]");
        out.answer(&feeds, b"[b");
        out.share(&Arc::from(&b"]"[..]));
        feeds.push(kind(), b"(3)");
        assert_eq!(out.answer_bytes(), 16);
        assert_eq!(out.event_bytes(&feeds), 9);
        assert_eq!(drain(&mut out, &mut feeds, 2), "[watching](1)(2)[a][b](3)");
        assert_eq!(out.bytes(&feeds), 0);
        feeds.push(kind(), b"(4)");
        out.seal(&feeds);
        feeds.push(kind(), b"(5)");
        out.answer(&feeds, b"[bye]");
        assert_eq!(out.bytes(&feeds), 8);
        assert_eq!(drain(&mut out, &mut feeds, 1), "(4)[bye]");
        assert!(!out.watches());
    }

    #[test]
    fn another_kind_of_client_gets_what_waited_as_it_was() {
        let mut feeds = Feeds::default();
        let mut out = Outgoing::default();
        let plain = Kind::of(Capabilities::default());
        out.watch(&mut feeds, plain);
        feeds.push(plain, b"(plain 1)");
        out.answer(&feeds, b"[hello]");
        feeds.push(plain, b"(plain 2)");
        out.watch(&mut feeds, kind());
        feeds.push(plain, b"(plain 3)");
        feeds.push(kind(), b"(full 3)");
        let all = "(plain 1)[hello](plain 2)(full 3)";
        assert_eq!(out.bytes(&feeds), all.len());
        assert_eq!(drain(&mut out, &mut feeds, 5), all);
    }

    #[test]
    fn who_takes_something_is_not_cut_and_who_takes_nothing_is() {
        const MAX: usize = 100;
        let mut feeds = Feeds::default();
        let (mut reads, mut stuck) = (Outgoing::default(), Outgoing::default());
        reads.watch(&mut feeds, kind());
        stuck.watch(&mut feeds, kind());
        let looks = limits::WATCHER_STALL_MS / limits::SWEEP_MS;
        for look in 1..=looks {
            feeds.push(kind(), &[b'x'; 2 * MAX]);
            reads.wrote(&mut feeds, 1);
            assert!(!reads.is_stuck(&feeds, MAX));
            assert_eq!(stuck.is_stuck(&feeds, MAX), look == looks, "{look}");
        }
        // Not far behind is not slow.
        let mut late = Outgoing::default();
        late.watch(&mut feeds, kind());
        feeds.push(kind(), &[b'x'; MAX]);
        assert!((0..2 * looks).all(|_| !late.is_stuck(&feeds, MAX)));
    }
}
