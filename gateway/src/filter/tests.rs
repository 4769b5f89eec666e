// SPDX-License-Identifier: Apache-2.0
//! Filters together.

use torana_ir::{HeaderEdit, HeaderName, HeaderValue, Invalid, PathMode, PathRewrite, Share};

use super::*;
use crate::head::{Scheme, Version};

fn edit(name: &str, value: &str) -> HeaderEdit {
    let add = vec![(HeaderName::new(name).unwrap(), HeaderValue::new(value).unwrap())];
    HeaderEdit { add, ..HeaderEdit::default() }
}

fn mirror(name: &str, numerator: u32) -> Filter {
    let target = Target::Backend(BackendKey::tcp("n", name, 80));
    Filter::Mirror(torana_ir::Mirror { target, numerator, denominator: 100, shadow: false })
}

/// Backends are their own names here; `gone` is none.
fn chain(filters: &[Filter]) -> Chain<String> {
    Chain::compile(filters, (80, PathMode::Base), |key| (key.name != "gone").then(|| key.name.clone()))
}

fn head() -> Head {
    Head::new(Version::Http11, Scheme::Http, "GET", "a.com", "/a/b?q")
}

fn run(chain: &Chain<String>, head: &mut Head, random: u64) -> (Verdict<String>, Notes<String>) {
    let mut notes = Notes::default();
    let mut context = RequestContext { prefix_len: 2, random };
    (chain.on_request(0, head, &mut context, &mut notes), notes)
}

#[test]
fn filters_combine_in_order() {
    let rewrite = torana_ir::Rewrite { host: None, path: Some(PathRewrite::Prefix("/z".into())) };
    let chain = chain(&[
        Filter::RequestHeaders(edit("x", "1")),
        Filter::Rewrite(rewrite),
        mirror("one", 100),
        mirror("two", 100),
        mirror("gone", 100),
        Filter::ResponseHeaders(edit("y", "2")),
    ]);
    let mut head = head();
    let (verdict, notes) = run(&chain, &mut head, 7);
    assert!(matches!(verdict, Verdict::Continue));
    assert_eq!((head.target(), head.fields.first("x")), ("/z/b?q", Some(&b"1"[..])));
    let copies: Vec<_> = notes.mirrors.iter().map(|copy| copy.backend.as_str()).collect();
    assert_eq!(copies, ["one", "two"]);
    assert_eq!(chain.mirrored().collect::<Vec<_>>(), ["one", "two"]);
    let mut response = ResponseHead::new(200);
    chain.on_response(&notes, &mut response);
    assert_eq!(response.fields.first("y"), Some(&b"2"[..]));
}

#[test]
fn mirrors_of_one_request_are_drawn_independently() {
    let chain = chain(&[mirror("one", 50), mirror("two", 50)]);
    let mut counts = [0_u32; 3];
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..4_000 {
        counts[run(&chain, &mut head(), rng.u64(..)).1.mirrors.len()] += 1;
    }
    assert!(counts[0].abs_diff(1_000) < 150 && counts[1].abs_diff(2_000) < 150, "{counts:?}");
}

#[test]
fn an_answer_ends_the_chain() {
    let redirect = torana_ir::Redirect {
        scheme: None,
        host: None,
        path: None,
        query: None,
        port: torana_ir::RedirectPort::Known,
        status: 301,
    };
    let chain = chain(&[Filter::Redirect(redirect), Filter::RequestHeaders(edit("x", "1"))]);
    let mut head = head();
    let Verdict::Respond(answer, By::Redirect) = run(&chain, &mut head, 0).0 else { panic!("the redirect answers") };
    assert_eq!((answer.status, head.fields.len()), (301, 0));
}

#[test]
fn an_origin_is_kept_for_the_response_even_if_it_is_removed() {
    let remove = HeaderEdit { remove: vec![HeaderName::new("origin").unwrap()], ..HeaderEdit::default() };
    let cors = torana_ir::Cors { allow_origins: vec![torana_ir::OriginPattern::Any], ..torana_ir::Cors::default() };
    let chain = chain(&[Filter::Cors(cors), Filter::RequestHeaders(remove)]);
    let mut head = head();
    head.fields.push(b"origin", b"https://b.com");
    let (_, notes) = run(&chain, &mut head, 0);
    let mut response = ResponseHead::new(200);
    chain.on_response(&notes, &mut response);
    assert_eq!(head.fields.first("origin"), None);
    assert_eq!(response.fields.first("access-control-allow-origin"), Some(&b"https://b.com"[..]));
}

#[test]
fn an_invalid_mirror_mirrors_nothing() {
    let target = Target::Invalid(Invalid { reason: "BackendNotFound".into(), message: String::new() });
    let chain = chain(&[Filter::Mirror(torana_ir::Mirror { target, numerator: 1, denominator: 1, shadow: false })]);
    assert!(chain.is_empty());
}

#[test]
fn a_delay_goes_on_with_the_next_step_and_an_abort_ends_the_chain() {
    let delay = torana_ir::Delay { time: Duration::from_secs(1), share: Share::ALL };
    let abort = torana_ir::Abort { with: torana_ir::AbortWith::Grpc(14), share: Share::ALL };
    let chain = chain(&[
        Filter::Delay(delay),
        Filter::RequestHeaders(edit("x", "1")),
        Filter::Abort(abort),
        mirror("one", 100),
    ]);
    let (mut head, mut context, mut notes) = (head(), RequestContext { prefix_len: 2, random: 0 }, Notes::default());
    let Verdict::Wait(time, next) = chain.on_request(0, &mut head, &mut context, &mut notes) else { panic!("waits") };
    assert_eq!((time, next, head.fields.len()), (Duration::from_secs(1), 1, 0));
    let Verdict::Fail(fault) = chain.on_request(next, &mut head, &mut context, &mut notes) else { panic!("fails") };
    assert_eq!(
        (fault, head.fields.len(), notes.mirrors.len()),
        (Fault::Injected { status: 200, grpc: Some(14) }, 1, 0)
    );
}

#[test]
fn a_path_that_cannot_be_rewritten_is_refused() {
    let regex = torana_ir::RegexRewrite::new("a", &"b".repeat(1024)).unwrap();
    let path = Some(PathRewrite::Regex(regex));
    let mut long = Head::new(Version::Http11, Scheme::Http, "GET", "a.com", &format!("/{}", "a".repeat(100)));
    let Verdict::Fail(Fault::Rejected(reject)) =
        run(&chain(&[Filter::Rewrite(torana_ir::Rewrite { host: None, path })]), &mut long, 0).0
    else {
        panic!("refused")
    };
    assert_eq!(reject.status, 414);
}
