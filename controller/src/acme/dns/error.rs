// SPDX-License-Identifier: Apache-2.0
//! What fails: at which name or server, and what to repair.

use std::time::Duration;

/// Why a record was not put, removed or seen, or a name not looked up. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// Not a name of DNS.
    #[error("{0:?} is no name of DNS: write labels of letters, digits, - and _, international ones as xn--…")]
    NoName(String),
    /// Not what goes into a record.
    #[error("the value for {name} is no digest in base64url")]
    NoDigest {
        /// Whose value it is.
        name: String,
    },
    /// NXDOMAIN.
    #[error("{name} does not exist (NXDOMAIN): create it in DNS, or correct the name")]
    Absent {
        /// What was looked for.
        name: String,
    },
    /// The name is there, such a record is not.
    #[error("{name} has no record of type {kind}: create one in DNS")]
    Empty {
        /// What was looked for.
        name: String,
        /// The types that were asked for.
        kind: &'static str,
    },
    /// Nobody could tell.
    #[error("{name} cannot be looked up: {server}: {why}; are the servers of its zone well, and can they be reached?")]
    Unanswered {
        /// What was looked for.
        name: String,
        /// Who was asked.
        server: String,
        /// What came of it.
        why: String,
    },
    /// Aliases lead in a circle, or too far.
    #[error(
        "{name} is an alias that leads on after {hops} aliases more, at {at}: let it lead to the last name at once"
    )]
    Aliases {
        /// Where it began.
        name: String,
        /// Where it was given up.
        at: String,
        /// How many were followed.
        hops: usize,
    },
    /// There is no resolver.
    #[error("whom to ask about names is not known: {0}; is /etc/resolv.conf sound?")]
    NoResolver(String),
    /// No connection with the server that is to be updated, or no answer.
    #[error("{server} does not answer: {why}; is the address right, and is TCP open from here to there?")]
    Unreachable {
        /// As it is configured.
        server: String,
        /// What came of it.
        why: String,
    },
    /// An answer that makes no sense.
    #[error("{server} answers something else than was asked: {why}; is it a name server?")]
    Senseless {
        /// As it is configured.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server will not.
    #[error("{server} does not {what}: {code}; {remedy}")]
    Refused {
        /// As it is configured.
        server: String,
        /// What it was to do.
        what: String,
        /// As it is called in DNS: `REFUSED`, `NOTAUTH (BADKEY)`.
        code: String,
        /// What to repair.
        remedy: String,
    },
    /// The answer is not signed as it must be: whether anything was done is not known.
    #[error("the answer of {server} cannot be trusted: {why}; is key {key} the same at both ends?")]
    Untrusted {
        /// As it is configured.
        server: String,
        /// Name of the key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Clocks are too far apart.
    #[error("the clocks here and at {server} are {seconds} s apart, 300 s are allowed: set both by NTP")]
    Clock {
        /// As it is configured.
        server: String,
        /// How far.
        seconds: u64,
    },
    /// The server has no zone that the name belongs to.
    #[error("{server} has no zone for {name}: name the server that has, or the zone")]
    NoZone {
        /// As it is configured.
        server: String,
        /// What was to be updated.
        name: String,
    },
    /// Settings of a solver that cannot be.
    #[error("{what}: {why}")]
    Settings {
        /// Which one.
        what: &'static str,
        /// What is wrong, and how it must be.
        why: String,
    },
    /// The webhook did not do it.
    #[error("webhook {url} did not {what}: {why}")]
    Webhook {
        /// Without what may be secret in it.
        url: String,
        /// What it was to do.
        what: String,
        /// What came of it, and what to repair.
        why: String,
    },
    /// The program did not do it.
    #[error("program {program} did not {what}: {why}")]
    Exec {
        /// Its path.
        program: String,
        /// What it was to do.
        what: String,
        /// What came of it, and what to repair.
        why: String,
    },
    /// Not every server shows the record.
    #[error(
        "after {limit:?} the TXT record of {name} is not everywhere: {missing}; do all servers of the zone transfer it?"
    )]
    NotSeen {
        /// Where it should be.
        name: String,
        /// How long it was waited for.
        limit: Duration,
        /// The servers without it, and what they say.
        missing: String,
    },
}
