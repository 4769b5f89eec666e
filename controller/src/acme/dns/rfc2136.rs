// SPDX-License-Identifier: Apache-2.0
//! Dynamic updates of a zone at its primary server (RFC 2136), over TCP, signed where there is a key (RFC 8945). Every
//! message has a connection of its own. Never changes anything but the one value.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::Name;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::dial::{connect, within};
use super::error::DnsError;
use super::message::{self, Parties, Zone};
use super::tsig::{Doubt, Key, Tsig};
use super::{Action, Record, name};
use crate::clock;

/// Of all of it: looking for the zone, and the update.
const DEADLINE: Duration = Duration::from_secs(30);
/// The port of name servers.
const PORT: u16 = 53;

/// A server that takes dynamic updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rfc2136 {
    /// The zone's primary server, `host:port`; without a port it is 53.
    pub server: String,
    /// The zone; without, the server is asked which one the name is in.
    pub zone: Option<String>,
    /// What messages are signed with.
    pub tsig: Option<Tsig>,
    /// Seconds that the record may be cached; 60 is usual.
    pub ttl: u32,
}

/// One update on its way.
struct Errand<'a> {
    parties: Parties<'a>,
    key: Option<Key>,
}

impl Rfc2136 {
    pub(super) async fn perform(&self, action: Action, record: &Record) -> Result<(), DnsError> {
        self.run(action, record, DEADLINE).await
    }

    async fn run(&self, action: Action, record: &Record, limit: Duration) -> Result<(), DnsError> {
        let late = |_| unreachable(&self.server)(format!("not done within {limit:?}"));
        timeout(limit, self.update(action, record)).await.map_err(late)?
    }

    async fn update(&self, action: Action, record: &Record) -> Result<(), DnsError> {
        let key = self.tsig.as_ref().map(Key::new).transpose()?;
        let parties = Parties { server: &self.server, key: self.tsig.as_ref().map(|tsig| &*tsig.key_name) };
        let (errand, name) = (Errand { parties, key }, name::parse(&record.name)?);
        let zone = match &self.zone {
            Some(zone) => name::parse(zone)?,
            None => errand.zone_of(&name).await?,
        };
        let update = message::update(&zone, &name, &record.value, action, self.ttl);
        let answer = errand.exchange(update, &format!("update zone {}", name::plain(&zone))).await?;
        parties.outcome(answer.response_code, &zone, &name)?;
        tracing::debug!(server = self.server, name = record.name, ?action, "a record was updated");
        Ok(())
    }
}

impl Errand<'_> {
    /// Asks the server for the zone of `name`, and of all names above it until it knows one.
    async fn zone_of(&self, name: &Name) -> Result<Name, DnsError> {
        let server = self.parties.server;
        for above in name::upwards(name) {
            let what = format!("tell the zone of {}", name::plain(&above));
            let answer = self.exchange(message::question(&above), &what).await?;
            match (answer.response_code, message::zone(&answer, &above)) {
                (ResponseCode::NoError | ResponseCode::NXDomain, Zone::Is(zone)) => return Ok(zone),
                (ResponseCode::NoError, Zone::Elsewhere(zone)) => {
                    let zone = name::plain(&zone);
                    let remedy = format!("it has handed zone {zone} on to another server: name that one");
                    return Err(self.parties.refused(what, "a referral".to_owned(), remedy));
                }
                // It may have a zone above.
                (ResponseCode::NoError | ResponseCode::NXDomain | ResponseCode::Refused | ResponseCode::NotAuth, _) => {
                }
                (code, _) => {
                    return Err(self.parties.refused(what, message::label(code), "its log says why".to_owned()));
                }
            }
        }
        Err(DnsError::NoZone { server: server.to_owned(), name: name::plain(name) })
    }

    /// Sends a message, signed, and returns its answer, if that is known to be the server's. An error that is not signed
    /// is believed: who forges one has us fail, and no more.
    async fn exchange(&self, mut request: Message, what: &str) -> Result<Message, DnsError> {
        let senseless = senseless(self.parties.server);
        let mac = match &self.key {
            Some(key) => key.sign(&mut request, now()).map_err(|error| senseless(error.to_string()))?,
            None => Vec::new(),
        };
        let bytes = request.to_vec().map_err(|error| senseless(error.to_string()))?;
        let bytes = ask(self.parties.server, &bytes).await?;
        let answer = Message::from_vec(&bytes).map_err(|error| senseless(error.to_string()))?;
        if !message::answers(&request, &answer) {
            return Err(senseless("it is the answer to another message".to_owned()));
        }
        let Some(key) = &self.key else { return Ok(answer) };
        let failed = !matches!(answer.response_code, ResponseCode::NoError | ResponseCode::NXDomain);
        match key.check(&bytes, &mac, now()) {
            Ok(()) => Ok(answer),
            Err(Doubt::Unsigned(_)) if failed => Ok(answer),
            Err(doubt) => Err(self.doubted(&doubt, what)),
        }
    }

    fn doubted(&self, doubt: &Doubt, what: &str) -> DnsError {
        let server = self.parties.server.to_owned();
        match doubt {
            Doubt::Refused(error) => self.parties.badly_signed(what.to_owned(), error),
            Doubt::Clock(seconds) => DnsError::Clock { server, seconds: *seconds },
            Doubt::Unsigned(why) => {
                let key = self.parties.key.unwrap_or_default().to_owned();
                DnsError::Untrusted { server, key, why: (*why).to_owned() }
            }
        }
    }
}

fn now() -> u64 {
    clock::now().unsigned_abs()
}

fn senseless(server: &str) -> impl Fn(String) -> DnsError {
    move |why| DnsError::Senseless { server: server.to_owned(), why }
}

fn unreachable(server: &str) -> impl Fn(String) -> DnsError {
    move |why| DnsError::Unreachable { server: server.to_owned(), why }
}

/// Sends one message and returns the one that comes back, as octets.
async fn ask(server: &str, message: &[u8]) -> Result<Vec<u8>, DnsError> {
    let mut stream = connect(&with_port(server)).await.map_err(unreachable(server))?;
    let exchange = async {
        let length = u16::try_from(message.len()).map_err(std::io::Error::other)?;
        // In one piece, as servers like it best (RFC 7766 §8).
        stream.write_all(&[&length.to_be_bytes(), message].concat()).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    within(exchange).await.map_err(|why| unreachable(server)(format!("it gives no answer: {why}")))
}

/// `host:port` of a server that may be written without a port, or as an address.
fn with_port(server: &str) -> String {
    match server.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, PORT).to_string(),
        Err(_) if server.contains(':') => server.to_owned(),
        Err(_) => format!("{server}:{PORT}"),
    }
}

#[cfg(test)]
mod tests;
