// SPDX-License-Identifier: Apache-2.0
use hickory_resolver::proto::rr::rdata::{A, CNAME, NS, SOA};

use super::super::name::parse;
use super::*;

const ZONE: &str = "example.com";
const NAME: &str = "_acme-challenge.www.example.com";

fn name(text: &str) -> Name {
    parse(text).unwrap()
}

fn soa(at: &str) -> Record {
    let soa = SOA::new(name("ns.example"), name("admin.example"), 1, 2, 3, 4, 5);
    Record::from_rdata(if at == "." { Name::root() } else { name(at) }, 60, RData::SOA(soa))
}

fn ns(at: &str) -> Record {
    Record::from_rdata(name(at), 60, RData::NS(NS(name("ns.example"))))
}

fn answer(authoritative: bool, answers: Vec<Record>, authorities: Vec<Record>) -> Message {
    let mut message = Message::response(1, OpCode::Query);
    message.metadata.authoritative = authoritative;
    message.insert_answers(answers);
    message.insert_authorities(authorities);
    message
}

#[test]
fn one_value_is_added_with_its_time_to_live() {
    let update = update(&name(ZONE), &name(NAME), "v", Action::Present, 60);
    let back = Message::from_vec(&update.to_vec().unwrap()).unwrap();
    let [record] = back.updates() else { panic!("{back:?}") };
    assert_eq!(
        (back.op_code, back.zones()[0].name(), back.zones()[0].query_type()),
        (OpCode::Update, &name(ZONE), RecordType::SOA)
    );
    assert_eq!((&record.name, record.dns_class, record.ttl), (&name(NAME), DNSClass::IN, 60));
    assert_eq!(record.data, RData::TXT(TXT::new(vec!["v".to_owned()])));
    assert!(back.prerequisites().is_empty() && back.additionals.is_empty() && !back.recursion_desired);
}

#[test]
fn one_value_is_removed_and_no_other() {
    let update = update(&name(ZONE), &name(NAME), "v", Action::CleanUp, 60);
    let back = Message::from_vec(&update.to_vec().unwrap()).unwrap();
    let [record] = back.updates() else { panic!("{back:?}") };
    // Class ANY would remove all of them (RFC 2136 §2.5.2).
    assert_eq!((record.dns_class, record.ttl), (DNSClass::NONE, 0));
    assert_eq!(record.data, RData::TXT(TXT::new(vec!["v".to_owned()])));
}

#[test]
fn the_zone_is_where_the_soa_is() {
    let asked = name(NAME);
    let is = |text: &str| Zone::Is(name(text));
    assert_eq!(zone(&answer(true, vec![soa(NAME)], vec![]), &asked), is(NAME));
    assert_eq!(zone(&answer(true, vec![], vec![soa("Example.COM")]), &asked), is(ZONE));
    // A resolver tells as much.
    assert_eq!(zone(&answer(false, vec![], vec![soa(ZONE)]), &asked), is(ZONE));
}

#[test]
fn a_zone_that_others_have_is_told_apart() {
    assert_eq!(
        zone(&answer(false, vec![], vec![ns("www.example.com")]), &name(NAME)),
        Zone::Elsewhere(name("www.example.com"))
    );
}

#[test]
fn what_says_nothing_about_the_name_is_not_believed() {
    let alias = Record::from_rdata(name(NAME), 60, RData::CNAME(CNAME(name("x.other.example"))));
    let address = Record::from_rdata(name(NAME), 60, RData::A(A::new(127, 0, 0, 1)));
    for (answers, authorities) in [
        (vec![], vec![]),
        (vec![alias], vec![soa("other.example")]),
        (vec![soa("other.example")], vec![]),
        (vec![address], vec![soa(".")]),
        (vec![], vec![soa("w.example.com")]),
    ] {
        assert_eq!(zone(&answer(true, answers, authorities), &name(NAME)), Zone::Unknown);
    }
}

#[test]
fn an_answer_is_to_its_request() {
    let request = question(&name(NAME));
    let mut fine = Message::response(request.id, OpCode::Query);
    assert!(answers(&request, &fine));
    fine.add_queries(request.queries.clone());
    assert!(answers(&request, &fine));
    let wrong = |change: fn(&mut Message)| {
        let mut answer = fine.clone();
        change(&mut answer);
        assert!(!answers(&request, &answer), "{answer:?}");
    };
    wrong(|answer| answer.metadata.id ^= 1);
    wrong(|answer| answer.metadata.message_type = MessageType::Query);
    wrong(|answer| answer.metadata.op_code = OpCode::Update);
    wrong(|answer| answer.queries[0].name = parse("other.example").unwrap());
}

#[test]
fn every_refusal_says_who_what_and_how_to_repair_it() {
    let said = |key, code| {
        let parties = Parties { server: "ns.example:53", key };
        parties.outcome(code, &name(ZONE), &name(NAME)).unwrap_err().to_string()
    };
    let key = Some("acme.example");
    assert_eq!(
        said(key, ResponseCode::Refused),
        "ns.example:53 does not update zone example.com: REFUSED; let key acme.example update TXT records of \
         _acme-challenge.www.example.com in zone example.com there"
    );
    assert!(said(None, ResponseCode::Refused).ends_with("come from here, or configure a key (TSIG)"));
    assert!(said(key, ResponseCode::NotAuth).ends_with("may key acme.example update it?"));
    assert!(said(None, ResponseCode::NotAuth).ends_with("may this address, without a key, update it?"));
    assert!(said(key, ResponseCode::NotZone).ends_with("configure the zone that it is in"));
    for code in (1..=4095_u16).map(<ResponseCode as From<u16>>::from) {
        assert!(said(key, code).contains("ns.example:53"), "{code}");
    }
    let parties = Parties { server: "s", key };
    assert_eq!(parties.outcome(ResponseCode::NoError, &name(ZONE), &name(NAME)), Ok(()));
    for (error, hint) in [
        ("BADKEY", "it knows no key acme.example"),
        ("BADSIG", "its secret of key acme.example"),
        ("x", "no signature"),
    ] {
        let said = parties.badly_signed("update zone a".to_owned(), error).to_string();
        assert!(said.contains(&format!("NOTAUTH ({error})")) && said.contains(hint), "{said}");
    }
}
