// SPDX-License-Identifier: Apache-2.0
//! What Istio's echo server says of a request, a line of `Name=value` each, and who asked by what its sidecar added.

use torana_tests::Reply;

pub(super) struct Answer(String);

impl Answer {
    /// The request must have been answered well.
    pub(super) fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{reply:?}");
        Self(reply.text())
    }

    /// What the echo client printed, which puts `[0 body] ` before each line.
    pub(super) fn printed(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once("body] "));
        Self(lines.flat_map(|(_, line)| [line, "\n"]).collect())
    }

    /// The first value of a line.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The values of a header of the request as the application got it.
    pub(super) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.0.lines().filter_map(|line| line.strip_prefix("RequestHeader="));
        let pairs = lines.filter_map(|line| line.split_once(':'));
        pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// Who the sidecar says asked: it adds its element at the end.
    pub(super) fn peer(&self) -> Option<&str> {
        let last = self.headers("x-forwarded-client-cert").last()?.rsplit(',').next()?;
        last.split(';').find_map(|part| part.strip_prefix("URI="))
    }
}

#[test]
fn an_answer_of_echo_is_read() {
    let answer = Answer(
        "Host=a.example\nURL=/?a=b\nRequestHeader=Accept:*/*\n\
         RequestHeader=X-Forwarded-Client-Cert:URI=spiffe://x,By=spiffe://b;Subject=\"\";URI=spiffe://c/ns/d/sa/e\n"
            .to_owned(),
    );
    assert_eq!(answer.field("URL"), Some("/?a=b"));
    assert_eq!(answer.headers("accept"), ["*/*"]);
    assert_eq!(answer.peer(), Some("spiffe://c/ns/d/sa/e"));
    let printed = Answer::printed("[0] StatusCode=200\n[0 body] Proto=GRPC\n");
    assert_eq!((printed.field("Proto"), printed.field("StatusCode")), (Some("GRPC"), None));
}
