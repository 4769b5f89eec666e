// SPDX-License-Identifier: Apache-2.0
//! Envoy's `envoy.service.auth.v3.Authorization/Check`, as far as it is spoken here: what is asked, and what an answer
//! means. Knows nothing of who asks.

mod messages;

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use torana_ir::{HeaderName, is_field_text};

use self::messages::{
    Address, AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, HeaderValueOption, HttpRequest,
    OkHttpResponse, Peer, Request, SocketAddress, Status,
};
use super::external_auth::{Circumstances, Edit, Reply, Ruling, passes};
use crate::answer::Answer;
use crate::grpc;
use crate::head::{Fields, Head, Known};

/// The method.
pub(super) const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The framed message that asks about `head`; of its fields those in `shown`, or all. The body is text where it can be, or
/// bytes in any case.
pub(super) fn request(
    head: &Head,
    about: Circumstances<'_>,
    (shown, as_bytes): (Option<&[HeaderName]>, bool),
) -> Bytes {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (known, name, value) in head.fields.iter() {
        let is_shown = shown.is_none_or(|shown| shown.iter().any(|it| it.as_str().as_bytes() == name));
        if is_shown && !known.hop_by_hop() {
            let value = String::from_utf8_lossy(value);
            let entry = headers.entry(String::from_utf8_lossy(name).into_owned());
            entry.and_modify(|before| *before = format!("{before},{value}")).or_insert_with(|| value.into_owned());
        }
    }
    if shown.is_none() {
        let pseudo = [(":authority", head.authority()), (":method", head.method()), (":path", head.target())];
        headers.extend(pseudo.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    let id = head.fields.first_known(Known::RequestId).map(String::from_utf8_lossy).unwrap_or_default();
    let (body, raw_body) = match std::str::from_utf8(about.body) {
        Ok(text) if !as_bytes => (text.to_owned(), Bytes::new()),
        _ => (String::new(), Bytes::copy_from_slice(about.body)),
    };
    let http = HttpRequest {
        id: id.into_owned(),
        method: head.method().to_owned(),
        headers,
        path: head.target().to_owned(),
        host: head.authority().to_owned(),
        scheme: head.scheme.as_str().to_owned(),
        size: if about.body.is_empty() { -1 } else { i64::try_from(about.body.len()).unwrap_or(i64::MAX) },
        protocol: head.version.as_str().to_owned(),
        body,
        raw_body,
    };
    let attributes = AttributeContext {
        source: Some(peer(about.client, about.principal)),
        destination: Some(peer(about.local, None)),
        request: Some(Request { http: Some(http) }),
    };
    grpc::frame(&CheckRequest { attributes: Some(attributes) }.encode_to_vec())
}

fn peer(address: std::net::SocketAddr, principal: Option<&str>) -> Peer {
    let ip = address.ip().to_canonical().to_string();
    Peer {
        address: Some(Address {
            socket_address: Some(SocketAddress { address: ip, port_value: address.port().into() }),
        }),
        principal: principal.unwrap_or_default().to_owned(),
    }
}

/// What the server's answer means.
pub(super) fn ruling(reply: &Reply) -> Ruling {
    let status = |fields: &Fields| fields.first("grpc-status").map(|status| status == b"0");
    let ok = reply.trailers.as_ref().and_then(status).or_else(|| status(&reply.head.fields));
    if reply.head.status != 200 || ok != Some(true) {
        return Ruling::Unclear("the call failed");
    }
    let message = match grpc::unframe(&reply.body) {
        Ok(message) => message,
        Err(why) => return Ruling::Unclear(why),
    };
    let Ok(response) = CheckResponse::decode(message) else { return Ruling::Unclear("the message is malformed") };
    match response.status {
        Some(Status { code: 0 }) => Ruling::Allowed(edit(response.ok_response.unwrap_or_default())),
        Some(_) => Ruling::Denied(denied(response.denied_response.unwrap_or_default())),
        None => Ruling::Unclear("the answer has no status"),
    }
}

/// "Note that the `append` field in `HeaderValueOption` defaults to false when used in this message."
fn edit(ok: OkHttpResponse) -> Edit {
    let mut edit = Edit { remove: ok.headers_to_remove, ..Edit::default() };
    edit.remove.iter_mut().for_each(|name| name.make_ascii_lowercase());
    edit.remove.retain(|name| passes(Known::of(name.as_bytes()), name.as_bytes()));
    for option in &ok.headers {
        let append = option.append.as_ref().is_some_and(|append| append.value);
        put(option, if append { &mut edit.add } else { &mut edit.set });
    }
    ok.response_headers_to_add.iter().for_each(|option| put(option, &mut edit.response));
    edit
}

/// 403 if it names no status, or none that is a refusal.
fn denied(denied: DeniedHttpResponse) -> Answer {
    let code = denied.status.and_then(|status| u16::try_from(status.code).ok());
    let mut fields = Fields::default();
    denied.headers.iter().for_each(|option| put(option, &mut fields));
    let status = code.filter(|code| (300..600).contains(code)).unwrap_or(403);
    Answer { status, fields, body: Bytes::from(denied.body) }
}

/// A field that is none, or that is not the server's to set, is left out.
fn put(option: &HeaderValueOption, fields: &mut Fields) {
    let Some(header) = &option.header else { return };
    let value = if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value };
    let Ok(name) = HeaderName::new(&header.key) else { return };
    let name = name.as_str().as_bytes();
    if is_field_text(value) && (passes(Known::of(name), name) || name == b"content-type") {
        fields.push(name, value.trim_ascii());
    }
}

#[cfg(test)]
mod tests {
    use super::messages::{BoolValue, HeaderValue, HttpStatus};
    use super::*;
    use crate::head::{ResponseHead, Scheme, Version};

    fn option(key: &str, value: &str, append: bool) -> HeaderValueOption {
        let header = HeaderValue { key: key.into(), value: value.into(), raw_value: Bytes::new() };
        HeaderValueOption { header: Some(header), append: append.then_some(BoolValue { value: true }) }
    }

    fn frame(response: &CheckResponse) -> Bytes {
        grpc::frame(&response.encode_to_vec())
    }

    fn reply(body: Bytes, status: &str) -> Reply {
        let mut trailers = Fields::default();
        trailers.push(b"grpc-status", status.as_bytes());
        Reply { head: ResponseHead::new(200), body, trailers: Some(trailers) }
    }

    fn answered(response: &CheckResponse) -> Ruling {
        ruling(&reply(frame(response), "0"))
    }

    #[test]
    fn the_request_is_told_with_its_peers() {
        let mut head = Head::new(Version::Http11, Scheme::Https, "POST", "a.com", "/x?y");
        for (name, value) in [("x-a", "1"), ("x-a", "2"), ("x-b", "3"), ("x-request-id", "id")] {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        let client = ([10, 0, 0, 1], 5).into();
        let local = ([10, 0, 0, 2], 443).into();
        let about = Circumstances { client, local, principal: Some("spiffe://td/a"), body: b"{}", is_part: false };
        let framed = request(&head, about, (None, false));
        assert_eq!(framed[..5], [0, 0, 0, 0, (framed.len() - 5) as u8][..]);
        let message = CheckRequest::decode(&framed[5..]).unwrap().attributes.unwrap();
        let http = message.request.unwrap().http.unwrap();
        assert_eq!((&*http.method, &*http.path, &*http.host, &*http.scheme), ("POST", "/x?y", "a.com", "https"));
        assert_eq!((&*http.id, &*http.body, http.size, &*http.headers["x-a"]), ("id", "{}", 2, "1,2"));
        let source = message.source.unwrap();
        assert_eq!(source.principal, "spiffe://td/a");
        let source = source.address.unwrap().socket_address.unwrap();
        assert_eq!((&*source.address, source.port_value), ("10.0.0.1", 5));
        let shown = [HeaderName::new("x-b").unwrap()];
        let message = CheckRequest::decode(&request(&head, about, (Some(&shown), true))[5..]).unwrap();
        let http = message.attributes.unwrap().request.unwrap().http.unwrap();
        assert_eq!((&*http.body, &*http.raw_body), ("", &b"{}"[..]));
        let headers = http.headers;
        assert_eq!(headers.into_keys().collect::<Vec<_>>(), ["x-b"]);
    }

    #[test]
    fn a_yes_edits_the_request() {
        let ok = OkHttpResponse {
            headers: vec![option("X-User", "me", false), option("x-tag", "2", true), option("x\r\n", "1", false)],
            headers_to_remove: vec!["Cookie".into(), "Host".into()],
            response_headers_to_add: vec![option("x-seen", "1", false), option("x-bad", "a\r\nb", false)],
        };
        let response = CheckResponse { status: Some(Status { code: 0 }), ok_response: Some(ok), ..Default::default() };
        let Ruling::Allowed(edit) = answered(&response) else { panic!("allowed") };
        let mut head = Head::new(Version::Http11, Scheme::Http, "GET", "a.com", "/");
        for (name, value) in [("x-user", "forged"), ("x-tag", "1"), ("cookie", "c")] {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        edit.apply(&mut head, &mut Fields::default());
        let shown: Vec<_> = head.fields.iter().map(|(_, name, value)| [name, value].concat()).collect();
        assert_eq!(shown, [b"x-tag1".to_vec(), b"x-userme".to_vec(), b"x-tag2".to_vec()]);
        assert_eq!((edit.response.len(), edit.response.first("x-seen")), (1, Some(&b"1"[..])));
    }

    #[test]
    fn a_no_is_what_the_server_says_or_403() {
        let rows = [(None, 403), (Some(401), 401), (Some(200), 403), (Some(70_000), 403)];
        for (code, expected) in rows {
            let status = code.map(|code| HttpStatus { code });
            let denied = DeniedHttpResponse { status, headers: vec![option("x-why", "1", false)], body: "no".into() };
            let response =
                CheckResponse { status: Some(Status { code: 7 }), denied_response: Some(denied), ..Default::default() };
            let Ruling::Denied(answer) = answered(&response) else { panic!("denied") };
            assert_eq!((answer.status, &answer.body[..], answer.fields.len()), (expected, &b"no"[..], 1));
        }
    }

    #[test]
    fn what_is_no_clear_answer_is_none() {
        let good = frame(&CheckResponse { status: Some(Status { code: 0 }), ..Default::default() });
        let cut = good.slice(..good.len() - 1);
        let rows = [
            reply(good.clone(), "14"),
            reply(Bytes::new(), "0"),
            reply(cut, "0"),
            reply(Bytes::from_static(&[0, 0, 0, 0, 1, 0xff]), "0"),
            reply(frame(&CheckResponse::default()), "0"),
            Reply { trailers: None, ..reply(good.clone(), "0") },
            Reply { head: ResponseHead::new(503), ..reply(good.clone(), "0") },
        ];
        for row in rows {
            assert!(matches!(ruling(&row), Ruling::Unclear(_)), "{row:?}");
        }
        assert!(matches!(ruling(&reply(good, "0")), Ruling::Allowed(_)));
    }
}
