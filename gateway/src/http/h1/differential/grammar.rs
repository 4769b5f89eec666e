// SPDX-License-Identifier: Apache-2.0
//! Requests that are almost right: built of tricky parts, then damaged a little.

use std::fmt::Write as _;

use fastrand::Rng;

const METHODS: &[&str] = &["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "FOO", "get", "PATCH"];
const TARGETS: &[&str] = &[
    "/",
    "/a",
    "/a?b=c",
    "/a/../b",
    "/%61",
    "//x",
    "/a%2fb",
    "/?",
    "/a;b",
    "http://a/x",
    "/\\x",
    "/{x}|y",
    "/%e9",
    "*",
    "/a/./",
    "/..",
];
const VERSIONS: &[&str] = &["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0"];
const LINES: &[&str] = &[
    "X-A: b",
    "X-Empty:",
    "Connection: keep-alive",
    "Connection: close",
    "Cookie: a=b",
    "TE: trailers",
    "X_U: v",
    "Accept: */*",
    "Expect: 100-continue",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding:\tchunked",
    "Content-Length: 5",
    "Content-Length: 0",
    "Content-Length:5 ",
    "content-length: 05",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: gzip, chunked",
    "X: a\r\n b",
    "Connection: transfer-encoding",
    "Trailer: X-A",
    "Upgrade: h2c",
    "Transfer_Encoding: chunked",
    "X: \u{e9}",
    "Proxy-Connection: keep-alive",
    "Content-Length: +5",
    "Keep-Alive: timeout=5",
];
const BODIES: &[&str] =
    &["", "hello", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n\r\n", "a\r\nb\nc\rd", "5\r\nhello\r\n0\r\n\r\n"];
const EXTENSIONS: &[&str] = &["", "", "", "", ";a", ";a=b", ";a=\"b c\"", ";a=\"\\\"\"", ";", " ", ";\n", " ;a"];
const TRAILERS: &[&str] = &["", "", "", "X-Sum: 1\r\n", "Host: b\r\n", "Content-Length: 3\r\n", "bad\r\n", " X: y\r\n"];
const ENDS: &[&str] =
    &["\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "", "\r\r\n", "\n\r\n"];
const DAMAGE: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b"0",
    b"5",
    b"a",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b",",
    b"\"",
    b"\r\n\r\n",
    b"chunked",
    b"%",
    b"/..",
    b"\\",
];

pub(super) struct Grammar {
    random: Rng,
    corpus: Vec<Vec<u8>>,
}

impl Grammar {
    pub(super) fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Self { random: Rng::with_seed(seed), corpus }
    }

    pub(super) fn next(&mut self) -> Vec<u8> {
        let mut input = if self.random.u8(..) < 40 && !self.corpus.is_empty() {
            let at = self.random.usize(..self.corpus.len());
            self.corpus[at].clone()
        } else {
            self.request()
        };
        if self.random.u8(..) < 30 {
            input.extend(self.request());
        }
        if self.random.u8(..) < 130 {
            for _ in 0..self.random.usize(1..3) {
                self.damage(&mut input);
            }
        }
        input
    }

    fn pick<T: ?Sized>(&mut self, from: &'static [&'static T]) -> &'static T {
        from[self.random.usize(..from.len())]
    }

    /// The first choice mostly, so that most requests are good.
    fn mostly(&mut self, from: &'static [&'static str]) -> &'static str {
        if self.random.u8(..) < 235 { from[0] } else { self.pick(from) }
    }

    fn request(&mut self) -> Vec<u8> {
        let (method, target, version) = (self.pick(METHODS), self.pick(TARGETS), self.mostly(VERSIONS));
        let end = self.mostly(ENDS);
        let mut head = format!("{method} {target} {version}{end}Host: a\r\n");
        for _ in 0..self.random.usize(0..4) {
            let (line, end) = (self.pick(LINES), self.mostly(ENDS));
            head.push_str(line);
            head.push_str(end);
        }
        let body = self.pick(BODIES);
        let (framing, body) = match self.random.u8(..) {
            0..80 => (String::new(), String::new()),
            80..160 => (format!("Content-Length: {}\r\n", body.len()), body.to_owned()),
            _ => ("Transfer-Encoding: chunked\r\n".to_owned(), self.chunks(body)),
        };
        format!("{head}{framing}\r\n{body}").into_bytes()
    }

    fn chunks(&mut self, body: &str) -> String {
        let mut out = String::new();
        for piece in body.as_bytes().chunks(self.random.usize(1..9)) {
            let padding = self.mostly(&["", "0", "000000000000000", "+", "0x"]);
            let (extension, end, after) = (self.mostly(EXTENSIONS), self.mostly(ENDS), self.mostly(ENDS));
            let data = String::from_utf8_lossy(piece);
            let size = piece.len();
            write!(out, "{padding}{size:x}{extension}{end}{data}{after}").unwrap();
        }
        let (extension, end, trailer, last) =
            (self.mostly(EXTENSIONS), self.mostly(ENDS), self.mostly(TRAILERS), self.mostly(ENDS));
        write!(out, "0{extension}{end}{trailer}{last}").unwrap();
        out
    }

    fn damage(&mut self, input: &mut Vec<u8>) {
        if input.is_empty() {
            return;
        }
        let at = self.random.usize(..input.len());
        match self.random.u8(..4) {
            0 => {
                input.remove(at);
            }
            1 => {
                let bytes = self.pick(DAMAGE);
                input.splice(at..at, bytes.iter().copied());
            }
            2 => {
                let bytes = self.pick(DAMAGE);
                input.splice(at..=at, bytes.iter().copied());
            }
            _ => {
                let end = (at + self.random.usize(1..20)).min(input.len());
                let copy = input[at..end].to_vec();
                input.splice(at..at, copy);
            }
        }
    }
}
