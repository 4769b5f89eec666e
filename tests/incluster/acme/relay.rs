// SPDX-License-Identifier: Apache-2.0
//! A relay before Pebble, which counts what passes to the authority and holds the question, or the answer, that it is told
//! to: so a test acts at exactly that moment. Pebble makes its addresses of the Host header, so everything comes by here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ClientConfig;
use torana_tests::{Backend, Connection, Reply, Seen};

use super::super::PATIENCE;
use crate::acme::pebble::Pebble;

/// What an authority is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A new order.
    Order,
    /// What it wants to be convinced of.
    Authorization,
    /// To look.
    Challenge,
    /// To sign.
    Finalize,
    /// What it signed.
    Certificate,
}

/// Where Pebble takes which question.
const PATHS: [(&str, Kind); 5] = [
    ("/order-plz", Kind::Order),
    ("/authZ/", Kind::Authorization),
    ("/chalZ/", Kind::Challenge),
    ("/finalize-order/", Kind::Finalize),
    ("/certZ/", Kind::Certificate),
];
/// Bytes of a question: an order of a hundred names has less.
const LONGEST: usize = 64 << 10;

/// What of an exchange is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The authority is not asked.
    Question,
    /// It was asked, and Torana does not know its answer.
    Answer,
}

/// What waits to be held.
struct Trap {
    kind: Kind,
    part: Part,
    told: Sender<Held>,
}

#[derive(Default)]
struct State {
    passed: BTreeMap<Kind, usize>,
    traps: Vec<Trap>,
}

/// Something that will be held.
pub(super) struct Expected(Kind, Receiver<Held>);

impl Expected {
    /// Waits until it is; `context` is told if that does not happen.
    pub(super) fn held(self, context: impl FnOnce() -> String) -> Held {
        let Self(kind, told) = self;
        told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {kind:?} within {PATIENCE:?}: {}", context()))
    }
}

/// Something that is held. Dropped, it never goes further.
pub(super) struct Held(Sender<()>);

impl Held {
    /// Lets it go on.
    pub(super) fn pass(self) {
        // Whoever asked may have given up.
        self.0.send(()).ok();
    }
}

/// The relay. Its threads end with their connections.
pub(super) struct Relay {
    /// The directory, as pods reach it.
    pub(super) directory: String,
    state: Arc<Mutex<State>>,
}

impl Relay {
    /// One at the address `node` of this machine; whoever vouches for Pebble vouches for it.
    pub(super) fn start(pebble: &Pebble, node: &str) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, port, client) = (Arc::clone(&state), pebble.port, pebble.authority.client(&["http/1.1"]));
        let server = pebble.authority.server(&[node], &["http/1.1"], None);
        let backend = Backend::scripted_tls(node.parse().unwrap(), server, move |seen| {
            // What is not passed on ends the connection.
            carried(&shared, (port, &client), seen).unwrap_or_else(|| b"!".to_vec())
        });
        Self { directory: format!("https://{node}:{}/dir", backend.port), state }
    }

    /// Holds the next of a kind.
    pub(super) fn hold(&self, kind: Kind, part: Part) -> Expected {
        let (told, heard) = mpsc::channel();
        locked(&self.state).traps.push(Trap { kind, part, told });
        Expected(kind, heard)
    }

    /// How many questions of these kinds were passed to the authority.
    pub(super) fn passed<const N: usize>(&self, kinds: [Kind; N]) -> [usize; N] {
        let state = locked(&self.state);
        kinds.map(|kind| state.passed.get(&kind).copied().unwrap_or_default())
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The authority's answer; `None` if it must not be known.
fn carried(state: &Mutex<State>, pebble: (u16, &Arc<ClientConfig>), seen: &Seen) -> Option<Vec<u8>> {
    let kind = PATHS.iter().find(|(path, _)| seen.target.starts_with(path)).map(|(_, kind)| *kind);
    may_go_on(state, kind, Part::Question)?;
    let reply = asked(pebble, seen).ok()?;
    if let Some(kind) = kind {
        *locked(state).passed.entry(kind).or_default() += 1;
    }
    may_go_on(state, kind, Part::Answer)?;
    Some(written(&reply))
}

/// Waits for as long as it is held; `None`: it goes no further.
fn may_go_on(state: &Mutex<State>, kind: Option<Kind>, part: Part) -> Option<()> {
    let trap = {
        let traps = &mut locked(state).traps;
        let at = traps.iter().position(|trap| Some(trap.kind) == kind && trap.part == part);
        at.map(|at| traps.remove(at))
    };
    let Some(trap) = trap else { return Some(()) };
    let (pass, passed) = mpsc::channel();
    trap.told.send(Held(pass)).ok()?;
    passed.recv_timeout(PATIENCE).ok()
}

/// Asks Pebble in the same words.
fn asked((port, client): (u16, &Arc<ClientConfig>), seen: &Seen) -> std::io::Result<Reply> {
    if seen.body.len() > LONGEST {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut head = format!("{} {} HTTP/1.1\r\n", seen.method, seen.target);
    let of_connection = ["connection", "content-length", "transfer-encoding"];
    for (name, value) in seen.headers.iter().filter(|(name, _)| !is_one_of(name, &of_connection)) {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    write!(head, "content-length: {}\r\n\r\n", seen.body.len()).unwrap();
    let mut connection = Connection::tls(port, "localhost", client)?;
    connection.send(&[head.as_bytes(), &seen.body].concat())?;
    connection.reply(&seen.method)
}

/// An answer as it travels.
fn written(reply: &Reply) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} Relayed\r\n", reply.status);
    let of_connection = ["connection", "content-length", "transfer-encoding"];
    for (name, value) in reply.headers.iter().filter(|(name, _)| !is_one_of(name, &of_connection)) {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if reply.status != 204 {
        write!(head, "content-length: {}\r\n", reply.body.len()).unwrap();
    }
    [head.as_bytes(), b"\r\n", &reply.body].concat()
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|it| it.eq_ignore_ascii_case(name))
}
