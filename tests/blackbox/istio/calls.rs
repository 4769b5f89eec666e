// SPDX-License-Identifier: Apache-2.0
//! What came of a call, held against what must. Never looks at manifests.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};

use torana_tests::{Seen, eventually};

use super::case::{Call, Failure, Fields, Outcome};
use super::client::{Answer, send};
use super::stage::Stage;

/// Sends a call as often as it says; gives what is not as expected.
pub(super) fn judge(stage: &Stage, call: &Call) -> Vec<String> {
    let expected = &call.expect.0;
    for backend in stage.backends.values() {
        drop(backend.take());
    }
    let mut wrong = Vec::new();
    for _ in 0..call.times() {
        match (send(stage, call), expected.error) {
            (Ok(answer), None) => wrong.extend(answered(stage, expected, &answer)),
            (Ok(answer), Some(failure)) => wrong.push(format!("{} and not {failure:?}", answer.reply.status)),
            (Err(error), None) => wrong.push(format!("no answer: {error}")),
            (Err(error), Some(failure)) => {
                let found = kind(&error);
                if found != Some(failure) {
                    wrong.push(format!("{error} ({found:?}) and not {failure:?}"));
                }
            }
        }
    }
    wrong.extend(seen(stage, call));
    wrong
}

/// How a connection ended; `None`: it did not.
fn kind(error: &Error) -> Option<Failure> {
    let is_alert = |tls: &rustls::Error| matches!(tls, rustls::Error::AlertReceived(_));
    match error.kind() {
        ErrorKind::ConnectionRefused => Some(Failure::Refused),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => None,
        _ if error.get_ref().and_then(|inner| inner.downcast_ref()).is_some_and(is_alert) => Some(Failure::Alert),
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => Some(Failure::Closed),
        _ => None,
    }
}

fn differs<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Option<String> {
    (found != expected).then(|| format!("{what}: {found:?} and not {expected:?}"))
}

/// What is wrong with an answer.
fn answered(stage: &Stage, expected: &Outcome, answer: &Answer) -> Vec<String> {
    let Answer { reply, certificate, alpn } = answer;
    let status = expected.status.unwrap_or(200);
    let mut wrong: Vec<String> = differs("status", &reply.status, &status).into_iter().collect();
    let body = expected.body.as_ref().or(expected.backend.as_ref());
    wrong.extend(body.and_then(|body| differs("body", &reply.text(), body)));
    wrong.extend(fields("answer's", &expected.headers, |name| reply.header(name)));
    match expected.location.as_deref().map(|text| stage.written(text)) {
        Some(Ok(text)) => wrong.extend(differs("location", &reply.header("location"), &Some(&text))),
        Some(Err(why)) => wrong.push(why),
        None => {}
    }
    if let Some(name) = &expected.certificate {
        let theirs = stage.certificate(name).map(torana_tests::Issued::leaf);
        if theirs.is_none() || theirs != *certificate {
            wrong.push(format!("the certificate is not that of {name}"));
        }
    }
    if let Some(protocol) = &expected.alpn {
        let found = alpn.as_deref().map_or("none".to_owned(), |it| String::from_utf8_lossy(it).into_owned());
        wrong.extend(differs("alpn", &found, protocol));
    }
    wrong
}

/// What is wrong with what backends saw.
fn seen(stage: &Stage, call: &Call) -> Vec<String> {
    let expected = &call.expect.0;
    let mut wrong = Vec::new();
    if let Some(copied) = expected.mirror.as_ref().and_then(|name| stage.backends.get(name)) {
        eventually(|| !copied.seen().is_empty());
    }
    let mut counts: BTreeMap<&str, usize> = expected.shares.iter().map(|(name, count)| (&**name, *count)).collect();
    counts.extend(expected.backend.as_deref().map(|name| (name, expected.tries.unwrap_or(1))));
    counts.extend(expected.mirror.as_deref().map(|name| (name, 1)));
    let unknown = counts.keys().filter(|name| !stage.backends.contains_key(**name));
    wrong.extend(unknown.map(|name| format!("there is no backend {name}")));
    for (name, backend) in &stage.backends {
        let requests = backend.take();
        let due = counts.get(&**name).copied().unwrap_or(0);
        wrong.extend(differs(&format!("requests that {name} saw"), &requests.len(), &due));
        for request in &requests {
            wrong.extend(request.faults.iter().map(|fault| format!("{name} saw {fault}")));
            if due != 0 && expected.shares.is_empty() {
                wrong.extend(arrived(name, call, request));
            }
        }
    }
    wrong
}

fn arrived(name: &str, call: &Call, request: &Seen) -> Vec<String> {
    let expected = &call.expect.0;
    let (method, _, target) = call.line().unwrap_or_default();
    let path = expected.path.as_deref().unwrap_or(target);
    let mut wrong = Vec::new();
    wrong.extend(differs(&format!("method that {name} saw"), &&*request.method, &method));
    wrong.extend(differs(&format!("path that {name} saw"), &&*request.target, &path));
    // The host and headers are those that the copy has, if there is one.
    if expected.mirror.as_deref().is_none_or(|copy| copy == name) {
        let host = expected.host.as_deref();
        wrong.extend(
            host.and_then(|host| differs(&format!("host that {name} saw"), &request.header("host"), &Some(host))),
        );
        wrong.extend(fields(&format!("{name}'s"), &expected.seen, |field| request.header(field)));
    }
    wrong
}

/// A value that begins with `~` is part of what must be there.
fn fields<'r>(whose: &str, expected: &Fields, found: impl Fn(&str) -> Option<&'r str>) -> Vec<String> {
    let each = expected.iter();
    let wrong = |(name, value): (&String, &Option<String>)| {
        let (found, value) = (found(name), value.as_deref());
        let is_in = value
            .and_then(|value| value.strip_prefix('~'))
            .is_some_and(|part| found.is_some_and(|it| it.contains(part)));
        if is_in { None } else { differs(&format!("{whose} {name}"), &found, &value) }
    };
    each.filter_map(wrong).collect()
}
