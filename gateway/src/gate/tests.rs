// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 through the gate; HTTP/1 is tested with its parser.

use http::Request;

use super::*;

fn judged(request: http::request::Builder, ended: bool) -> Result<Passed, Reject> {
    let (parts, ()) = request.body(()).unwrap().into_parts();
    h2(&parts, ended, Scheme::Https, &Limits::default())
}

fn get(uri: &str) -> http::request::Builder {
    Request::builder().method("GET").uri(uri)
}

#[test]
fn a_request_of_http2_becomes_the_same_head() {
    let request =
        get("https://A.com/x/../y?z").header("te", "trailers").header("cookie", "a=1").header("cookie", "b=2");
    let passed = judged(request.header("x-forwarded-proto", "http"), true).unwrap();
    let head = &passed.head;
    assert_eq!((head.method(), head.authority(), head.target()), ("GET", "a.com", "/y?z"));
    assert_eq!((head.version, head.body, head.upgrade), (Version::Http2, BodyLength::None, false));
    assert_eq!(head.fields.values("cookie").collect::<Vec<_>>(), [b"a=1; b=2"]);
    assert_eq!(head.fields.len(), 1);
    assert!(head.trailers && !judged(get("https://a/"), true).unwrap().head.trailers);
}

#[test]
fn the_body_is_open_unless_it_has_ended() {
    let body = |length: Option<&str>, ended| {
        let request = get("https://a/");
        let request = match length {
            Some(length) => request.header("content-length", length),
            None => request,
        };
        judged(request, ended).map(|passed| passed.head.body).map_err(|reject| reject.reason)
    };
    assert_eq!(body(None, false), Ok(BodyLength::Unknown));
    assert_eq!(body(None, true), Ok(BodyLength::None));
    assert_eq!(body(Some("5"), false), Ok(BodyLength::Exact(5)));
    assert_eq!(body(Some("0"), true), Ok(BodyLength::None));
    assert_eq!(body(Some("0"), false), Ok(BodyLength::Unknown));
    assert_eq!(body(Some("5"), true), Err("bad_content_length"));
    assert_eq!(body(Some("5, 5"), false), Err("bad_content_length"));
}

#[test]
fn fields_of_a_connection_have_no_place_in_http2() {
    for (name, value) in [
        ("connection", "x"),
        ("upgrade", "h2c"),
        ("keep-alive", "1"),
        ("proxy-connection", "x"),
        ("te", "gzip"),
        ("transfer-encoding", "chunked"),
    ] {
        let got = judged(get("https://a/").header(name, value), true).map_err(|reject| reject.reason);
        assert_eq!(got.err(), Some("connection_field_in_http2"), "{name}");
    }
}

#[test]
fn places_that_name_the_host_agree() {
    let refusal = |request| judged(request, true).err().map(|reject| reject.reason);
    assert_eq!(refusal(get("https://a/").header("host", "a:443")), None);
    assert_eq!(refusal(get("https://a/").header("host", "b")), Some("host_mismatch"));
    assert_eq!(refusal(get("https://a/").header("host", "a").header("host", "a")), Some("bad_host"));
    assert_eq!(refusal(get("https://u@a/")), Some("bad_host"));
    assert_eq!(refusal(get("/")), Some("missing_host"));
    assert_eq!(refusal(get("http://a/")), Some("scheme_mismatch"));
}

#[test]
fn blanks_around_a_value_are_malformed_in_http2() {
    let value = http::HeaderValue::from_bytes(b" a").unwrap();
    assert_eq!(judged(get("https://a/").header("x", value), true).err(), Some(Reject::bad("bad_field_value")));
}

#[test]
fn options_of_the_gateway_itself_are_told_apart() {
    let options = Request::builder().method("OPTIONS");
    let passed = judged(
        options.uri(http::Uri::builder().scheme("https").authority("a").path_and_query("*").build().unwrap()),
        true,
    );
    assert!(passed.unwrap().asterisk);
    assert_eq!(
        judged(Request::builder().method("TRACE").uri("https://a/"), true).err().map(|reject| reject.status),
        Some(405)
    );
}

#[test]
fn an_untouched_connection_option_does_not_reach_what_the_gateway_sets() {
    let fields =
        [(&b"host"[..], &b"a"[..]), (b"connection", b"x-request-id, x-forwarded-for"), (b"x-request-id", b"1")];
    let draft = Draft {
        version: Version::Http11,
        scheme: Scheme::Http,
        method: b"GET",
        target: b"/",
        authority: None,
        fields: fields.into_iter(),
    };
    let mut head = judge(draft, &Limits::default()).unwrap().head;
    assert!(head.fields.is_empty());
    head.fields.push(b"x-forwarded-for", b"1.2.3.4");
    assert_eq!(head.fields.first("x-forwarded-for"), Some(&b"1.2.3.4"[..]));
}
