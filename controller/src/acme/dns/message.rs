// SPDX-License-Identifier: Apache-2.0
//! Messages to the server of a zone (RFC 2136), and what its answers mean. Pure; knows no socket, no signature.

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode, UpdateMessage as _};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::Action;
use super::error::DnsError;
use super::name::plain;

/// Asks in which zone `name` is.
pub(super) fn question(name: &Name) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name.clone(), RecordType::SOA));
    message
}

/// Adds this value to `name`, or removes it and no other (RFC 2136 §2.5.1, §2.5.4).
pub(super) fn update(zone: &Name, name: &Name, value: &str, action: Action, ttl: u32) -> Message {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_zone(Query::query(zone.clone(), RecordType::SOA));
    let ttl = if action == Action::Present { ttl } else { 0 };
    let mut record = Record::from_rdata(name.clone(), ttl, RData::TXT(TXT::new(vec![value.to_owned()])));
    if action == Action::CleanUp {
        record.dns_class = DNSClass::NONE;
    }
    message.add_update(record);
    message
}

/// Whether `answer` is one to `request`.
pub(super) fn answers(request: &Message, answer: &Message) -> bool {
    // Of an update it need not repeat the zone (RFC 2136 §3.8), nor when it understands nothing.
    let same_question = answer.queries.is_empty() || answer.queries == request.queries;
    answer.message_type == MessageType::Response
        && (answer.id, answer.op_code) == (request.id, request.op_code)
        && same_question
}

/// What an answer says of the zone of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// It is this one.
    Is(Name),
    /// Another server has it: the zone begins at this name.
    Elsewhere(Name),
    /// Not this name; perhaps one above it.
    Unknown,
}

/// Reads an answer to [`question`]: the zone's SOA is its answer, or says that there is none at `name` (RFC 2308 §3).
pub(super) fn zone(answer: &Message, name: &Name) -> Zone {
    let own = answer.answers.iter().filter(|record| record.name == *name);
    let above = answer.authorities.iter().filter(|record| record.name.zone_of(name));
    for record in own.chain(above) {
        match record.record_type() {
            RecordType::SOA if !record.name.is_root() => return Zone::Is(record.name.to_lowercase()),
            RecordType::NS if !record.name.is_root() && !answer.authoritative => {
                return Zone::Elsewhere(record.name.to_lowercase());
            }
            _ => {}
        }
    }
    Zone::Unknown
}

/// With whom an update was tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parties<'a> {
    /// As it is configured.
    pub(super) server: &'a str,
    /// The name of the key, if there is one.
    pub(super) key: Option<&'a str>,
}

impl Parties<'_> {
    /// What an update came to.
    pub(super) fn outcome(self, code: ResponseCode, zone: &Name, name: &Name) -> Result<(), DnsError> {
        if code == ResponseCode::NoError {
            return Ok(());
        }
        let (zone, name) = (plain(zone), plain(name));
        let remedy = match code {
            ResponseCode::Refused => match self.key {
                Some(key) => format!("let key {key} update TXT records of {name} in zone {zone} there"),
                None => format!("let updates of {name} in zone {zone} come from here, or configure a key (TSIG)"),
            },
            ResponseCode::NotAuth => {
                format!("is it the primary server of zone {zone}, and may {} update it?", self.key_or_address())
            }
            ResponseCode::NotZone => format!("{name} is not in zone {zone}: configure the zone that it is in"),
            ResponseCode::NotImp => "it takes no dynamic updates: name the zone's primary server".to_owned(),
            ResponseCode::ServFail => format!("its log says why; may it write zone {zone}?"),
            ResponseCode::FormErr => "it does not understand the update; its log says why".to_owned(),
            _ => "its log says why".to_owned(),
        };
        Err(self.refused(format!("update zone {zone}"), label(code), remedy))
    }

    /// What it is that the server does not take a signature.
    pub(super) fn badly_signed(self, what: String, error: &str) -> DnsError {
        let key = self.key.unwrap_or_default();
        let remedy = match error {
            // Of a key that it knows, but not for this zone, a server may say the same.
            "BADKEY" => format!(
                "it knows no key {key} with this algorithm, or not for this zone: correct name and algorithm, and let it \
                 update the zone"
            ),
            "BADSIG" => format!("its secret of key {key} is another one: use the same at both ends"),
            _ => format!("it takes no signature of key {key} as it is"),
        };
        self.refused(what, format!("NOTAUTH ({error})"), remedy)
    }

    pub(super) fn refused(self, what: String, code: String, remedy: String) -> DnsError {
        DnsError::Refused { server: self.server.to_owned(), what, code, remedy }
    }

    fn key_or_address(self) -> String {
        self.key.map_or_else(|| "this address, without a key,".to_owned(), |key| format!("key {key}"))
    }
}

/// As it is called in the registry of DNS.
pub(super) fn label(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::NotAuth => "NOTAUTH".to_owned(),
        ResponseCode::NotZone => "NOTZONE".to_owned(),
        other => format!("code {} ({other})", u16::from(other)),
    }
}

#[cfg(test)]
mod tests;
