// SPDX-License-Identifier: Apache-2.0
//! One case: what is sent, and what has to become of it.

/// Field that every request of a row carries; a request without it was smuggled.
pub(super) const MARKER: &str = "x-marker";

/// What has to become of a row.
#[derive(Debug, Clone)]
pub(super) enum Expect {
    /// One of these statuses, then the end of the connection; nothing reaches a backend.
    Refused(&'static [u16]),
    /// Refused when its head was passed on already: one of these statuses or a cut connection; no backend sees the
    /// end of the request.
    Aborted(&'static [u16]),
    /// 200; the backend saw this target and this body.
    Served { target: String, body: Vec<u8> },
    /// Answered with this status and never forwarded.
    Answered(u16),
}

/// One case.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Id of the acceptance list.
    pub(super) id: &'static str,
    /// Told apart from its siblings.
    pub(super) what: String,
    pub(super) bytes: Vec<u8>,
    pub(super) expect: Expect,
    /// Of the RFC that is applied.
    pub(super) clause: &'static str,
}

impl Row {
    pub(super) fn new(id: &'static str, clause: &'static str, bytes: impl Into<Vec<u8>>, expect: Expect) -> Self {
        let bytes = bytes.into();
        let what = String::from_utf8_lossy(&bytes).chars().take(300).collect();
        Self { id, what, bytes, expect, clause }
    }
}

pub(super) const BAD: Expect = Expect::Refused(&[400]);
pub(super) const BAD_OR_UNKNOWN_CODING: Expect = Expect::Refused(&[400, 501]);
pub(super) const CUT: Expect = Expect::Aborted(&[400]);

/// 200 for `target` with `body`.
pub(super) fn served(target: &str, body: &[u8]) -> Expect {
    Expect::Served { target: target.to_owned(), body: body.to_vec() }
}

/// A POST to `/case` with these lines (each with its CRLF), and what follows the head.
pub(super) fn post(lines: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("POST /case HTTP/1.1\r\nHost: a.example\r\n{MARKER}: 1\r\n");
    [head.as_bytes(), lines.as_ref(), b"\r\n", body.as_ref()].concat()
}

/// A GET for `target` (bytes as they are) with these lines.
pub(super) fn get(target: impl AsRef<[u8]>, lines: impl AsRef<[u8]>) -> Vec<u8> {
    let rest = format!(" HTTP/1.1\r\nHost: a.example\r\n{MARKER}: 1\r\n");
    [b"GET ", target.as_ref(), rest.as_bytes(), lines.as_ref(), b"\r\n"].concat()
}

/// A chunked POST whose body is these bytes.
pub(super) fn chunked(body: impl AsRef<[u8]>) -> Vec<u8> {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// A request that must never be taken for one: it has no marker.
pub(super) const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";
