// SPDX-License-Identifier: Apache-2.0
//! Runs rows and judges what came of them.
//!
//! * nothing without our marker reaches a backend, and nothing that is not canonical;
//! * a canary on the same connection, if it is still open, gets its own answer;
//! * a refusal ends the connection and sends no byte to any backend, and is counted and logged;
//! * no wrong 5xx, and no wait of more than two seconds.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use torana_tests::{Backend, Connection, Reply, Seen, World, eventually};

use super::row::{Expect, MARKER, Row};

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A gateway in front of one strict backend that answers with the target that it saw.
pub(super) struct Range {
    pub(super) world: World,
    pub(super) backend: Backend,
}

impl Range {
    pub(super) fn new() -> Self {
        Self::with("")
    }

    /// With more manifests.
    pub(super) fn with(manifests: &str) -> Self {
        let backend = Backend::scripted(answer);
        let base = [
            World::gateway().to_owned(),
            World::service("strict", backend.port),
            World::catch_all("all", "strict"),
            manifests.to_owned(),
        ];
        Self { world: World::start(&base.concat()), backend }
    }

    pub(super) fn connect(&self) -> Connection {
        let mut connection = Connection::open(self.world.http).expect("the listener is there");
        connection.patience(PATIENCE).expect("an open socket");
        connection
    }

    /// Runs all rows; prints a count for each id; fails with everything that was wrong.
    pub(super) fn run(&self, section: &str, rows: &[Row]) {
        let (mut counts, mut wrong) = (BTreeMap::<&str, usize>::new(), Vec::new());
        let rejected_before = self.rejected();
        let mut refusals = 0;
        for row in rows {
            *counts.entry(row.id).or_default() += 1;
            match self.judge(row) {
                Ok(refused) => refusals += u64::from(refused),
                Err(why) => wrong.push(format!("{} [{}]: {why}\n    {:?}", row.id, row.clause, row.what)),
            }
        }
        let counts: Vec<String> = counts.iter().map(|(id, count)| format!("{id} {count}")).collect();
        println!("hostile {section}: {} rows, {} wrong ({})", rows.len(), wrong.len(), counts.join(", "));
        assert!(wrong.is_empty(), "{} of {} rows are wrong:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
        self.counted_and_logged(self.rejected() - rejected_before, refusals);
    }

    /// Whether the row was refused by the gate; `Err` says what is wrong.
    fn judge(&self, row: &Row) -> Result<bool, String> {
        let (bytes, _) = (self.backend.bytes(), self.backend.take());
        let mut connection = self.connect();
        // A refusal may come, and end the connection, before everything is sent.
        drop(connection.send(&row.bytes));
        let method = String::from_utf8_lossy(&row.bytes).trim_start().split(' ').next().unwrap_or_default().to_owned();
        let reply = connection.reply(&method);
        let status = reply.as_ref().map_or(0, |reply| reply.status);
        if status >= 500 && !matches!(status, 501 | 505) {
            return Err(format!("{status}, which blames us for bad input"));
        }
        if reply
            .as_ref()
            .is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
        {
            return Err("no answer within 2 s".into());
        }
        self.outcome(row, &mut connection, reply, bytes)?;
        self.strange(row)?;
        Ok(matches!(row.expect, Expect::Refused(_)))
    }

    fn outcome(
        &self,
        row: &Row,
        connection: &mut Connection,
        reply: io::Result<Reply>,
        bytes: usize,
    ) -> Result<(), String> {
        let status = reply.as_ref().map_or(0, |reply| reply.status);
        match &row.expect {
            Expect::Refused(statuses) => {
                if !statuses.contains(&status) {
                    return Err(format!("{status}, not one of {statuses:?}"));
                }
                if !connection.closed_within(PATIENCE) {
                    return Err("the connection stays open after a refusal".into());
                }
                let reached = self.backend.bytes() - bytes;
                if reached > 0 {
                    return Err(format!("{reached} bytes reached a backend"));
                }
                Ok(())
            }
            Expect::Aborted(statuses) => {
                if status != 0 && !statuses.contains(&status) {
                    return Err(format!("{status}, not one of {statuses:?} and not cut"));
                }
                if !connection.closed_within(PATIENCE) {
                    return Err("the connection stays open".into());
                }
                if !self.backend.seen().is_empty() {
                    return Err("a backend saw the end of it".into());
                }
                Ok(())
            }
            Expect::Answered(expected) => {
                let reached = self.backend.bytes() - bytes;
                if status != *expected || reached > 0 {
                    return Err(format!("{status} and {reached} bytes forwarded, not {expected} and none"));
                }
                canary(connection)
            }
            Expect::Served { target, body } => {
                let reply = reply.map_err(|error| format!("no answer: {error}"))?;
                let seen = self.backend.seen();
                let one = seen.first().filter(|_| seen.len() == 1).ok_or(format!("{status}; seen {seen:?}"))?;
                if reply.status != 200 || one.target != *target || one.body != *body {
                    return Err(format!("{status}; target {:?}, body {:?}", one.target, one.body));
                }
                canary(connection)
            }
        }
    }

    /// What no row may bring about, whatever is expected of it.
    fn strange(&self, row: &Row) -> Result<(), String> {
        for seen in self.backend.seen() {
            if seen.header(MARKER).is_none() || seen.target.contains("smuggled") {
                return Err(format!("smuggled: {seen:?}"));
            }
            if !seen.faults.is_empty() {
                return Err(format!("not canonical: {:?} of {:?}", seen.faults, row.what));
            }
        }
        Ok(())
    }

    fn rejected(&self) -> u64 {
        let page = self.world.health("/metrics").map(|reply| reply.text()).unwrap_or_default();
        let lines = page.lines().filter(|line| line.starts_with("torana_requests_rejected_total{"));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    fn counted_and_logged(&self, counted: u64, refusals: u64) {
        assert!(counted >= refusals, "{refusals} refusals, {counted} counted");
        let lines = || {
            let log = self.world.log();
            log.lines().filter(|line| line.contains("\"DPE\"") && line.contains("127.0.0.1")).count() as u64
        };
        assert!(eventually(|| lines() >= refusals), "{refusals} refusals, {} lines in the log", lines());
    }
}

/// On a connection that is still open a next request gets its own answer.
pub(super) fn canary(connection: &mut Connection) -> Result<(), String> {
    let sent = connection.send(format!("GET /canary HTTP/1.1\r\nHost: a.example\r\n{MARKER}: 1\r\n\r\n").as_bytes());
    match sent.and_then(|()| connection.reply("GET")) {
        Ok(reply) if reply.status == 200 && reply.text() == "/canary" => Ok(()),
        Ok(reply) => Err(format!("the canary got {} {:?}", reply.status, reply.text())),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err("the canary got no answer".into())
        }
        // Closed, which is always allowed.
        Err(_) => Ok(()),
    }
}

/// 200 with the target as the body.
pub(super) fn answer(seen: &Seen) -> Vec<u8> {
    let body = if seen.method == "HEAD" { "" } else { seen.target.as_str() };
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", seen.target.len()).into_bytes()
}
