// SPDX-License-Identifier: Apache-2.0
//! Differential fuzzing: whatever our codec accepts, hyper and Pingora frame alike; and what we would send to a backend
//! they accept and frame alike.
//!
//! Deterministic: seeds are the files of `tests/fuzz/corpus` and a grammar of tricky parts. A short run belongs to the
//! unit tests; `./dev fuzz SECONDS` (`TORANA_FUZZ_SECONDS`) runs longer, from a seed of its own, and keeps what it
//! found beside the corpus.

mod grammar;

mod references;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use torana_ir::Limits;

use crate::head::{BodyLength, Scheme};
use crate::http::h1::chunk::Decoder;
use crate::http::h1::request::{self, Parsed};
use crate::http::h1::write;
use grammar::Grammar;
use references::{References, Seen};

/// Inputs of the short run.
const SHORT: u32 = 1_500;

/// Follows every input that is sent on: it must be seen as a request of its own.
const CANARY: &[u8] = b"GET /canary HTTP/1.1\r\nHost: a\r\n\r\n";

/// What our codec makes of the front of some bytes.
enum Ours {
    /// A whole request, and what a backend would be sent.
    Whole {
        seen: Seen,
        canonical: Option<Canonical>,
        used: usize,
        keep_alive: bool,
    },
    /// The request is not complete.
    Partial,
    Refused,
}

struct Canonical {
    bytes: Vec<u8>,
    seen: Seen,
}

fn ours(bytes: &[u8]) -> Ours {
    let (passed, used) = match request::parse(bytes, Scheme::Http, &Limits::default()) {
        Parsed::Complete { passed, used } => (passed, used),
        Parsed::Partial => return Ours::Partial,
        Parsed::Bad(_) => return Ours::Refused,
    };
    let mut rest = bytes[used..].to_vec();
    let (body, body_used) = match passed.head.body {
        BodyLength::None => (Vec::new(), 0),
        BodyLength::Exact(length) => match usize::try_from(length).ok().filter(|length| *length <= rest.len()) {
            Some(length) => (rest[..length].to_vec(), length),
            None => return Ours::Partial,
        },
        BodyLength::Unknown => match Decoder::default().decode(&mut rest) {
            Ok(step) if step.ended => (rest[..step.data].to_vec(), step.used),
            Ok(_) => return Ours::Partial,
            Err(_) => return Ours::Refused,
        },
    };
    let head = &passed.head;
    let start = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let target = start.split(|byte| *byte == b' ').nth(1).unwrap_or_default().to_vec();
    let canonical = (!passed.asterisk && !head.upgrade).then(|| {
        let mut out = Vec::new();
        write::request(&mut out, head);
        match head.body {
            BodyLength::Unknown => {
                for piece in body.chunks(7) {
                    write::chunk_start(&mut out, piece.len());
                    out.extend_from_slice(piece);
                    out.extend_from_slice(b"\r\n");
                }
                write::last_chunk(&mut out, None);
            }
            _ => out.extend_from_slice(&body),
        }
        let seen =
            Seen { method: head.method().to_owned(), target: head.target().as_bytes().to_vec(), body: body.clone() };
        Canonical { bytes: out, seen }
    });
    let seen = Seen { method: head.method().to_owned(), target, body };
    Ours::Whole { seen, canonical, used: used + body_used, keep_alive: passed.keep_alive }
}

/// What is wrong with an input, if anything.
fn difference(references: &References, bytes: &[u8]) -> Option<String> {
    let input = [bytes, CANARY].concat();
    let hyper = references.hyper(&input);
    let mut at = 0;
    for seen in &hyper {
        match ours(&input[at..]) {
            Ours::Whole { seen: mine, used, keep_alive, .. } => {
                if !mine.agrees(seen) {
                    return Some(format!("we see {mine:?}, hyper sees {seen:?}"));
                }
                at += used;
                if !keep_alive {
                    break;
                }
            }
            Ours::Partial => return Some(format!("we wait for more, hyper sees {seen:?}")),
            Ours::Refused => break,
        }
    }
    let Ours::Whole { seen: mine, canonical, .. } = ours(&input) else { return None };
    if let Some(seen) = references.pingora(&input).filter(|seen| !mine.agrees(seen)) {
        return Some(format!("we see {mine:?}, pingora sees {seen:?}"));
    }
    let Canonical { bytes: sent, seen: meant } = canonical?;
    let wire = [&sent[..], CANARY].concat();
    let canary = Seen { method: "GET".to_owned(), target: b"/canary".to_vec(), body: Vec::new() };
    let hyper = references.hyper(&wire);
    if hyper != [meant.clone(), canary] {
        return Some(format!("we send {:?}, hyper sees {hyper:?}", wire.escape_ascii().to_string()));
    }
    let pingora = references.pingora(&wire);
    (pingora.as_ref() != Some(&meant))
        .then(|| format!("we send {:?}, pingora sees {pingora:?}", wire.escape_ascii().to_string()))
}

/// Asked of cargo when the test runs: two checkouts that share a target folder may share this very binary.
fn folder() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.expect("CARGO_MANIFEST_DIR is not set: run this with cargo test");
    PathBuf::from(package).join("../tests/fuzz/corpus")
}

fn corpus() -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn the_corpus_is_framed_alike() {
    let (references, corpus) = (References::new(), corpus());
    assert!(corpus.len() >= 20, "the corpus is missing");
    let accepted = corpus.iter().filter(|input| matches!(ours(input), Ours::Whole { .. })).count();
    assert!(accepted >= 5 && accepted < corpus.len(), "{accepted} of {} are accepted", corpus.len());
    let wrong: Vec<String> = corpus.iter().filter_map(|input| report(&references, input)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn random_input_is_framed_alike() {
    let seconds = std::env::var("TORANA_FUZZ_SECONDS").ok().and_then(|text| text.parse::<u64>().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seed = seconds.map_or(1, |_| fastrand::u64(..));
    let references = References::new();
    let mut grammar = Grammar::new(seed, corpus());
    let (mut inputs, mut accepted, mut wrong) = (0_u32, 0_u32, Vec::new());
    while end.map_or(inputs < SHORT, |end| Instant::now() < end) {
        let input = grammar.next();
        inputs += 1;
        accepted += u32::from(matches!(ours(&input), Ours::Whole { .. }));
        if let Some(report) = report(&references, &input) {
            if seconds.is_some() {
                std::fs::write(folder().join(format!("found-{seed:x}-{inputs}")), &input).unwrap();
            }
            wrong.push(report);
        }
    }
    println!("fuzz: seed {seed}, {inputs} inputs, {accepted} accepted, {} framed differently", wrong.len());
    assert!(accepted > inputs / 20, "the grammar makes too few good requests: {accepted} of {inputs}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn report(references: &References, input: &[u8]) -> Option<String> {
    difference(references, input).map(|what| format!("{:?}: {what}", input.escape_ascii().to_string()))
}
