// SPDX-License-Identifier: Apache-2.0
//! Waits until a record is seen by whom an authority may ask. Asks only; never longer than it is told to.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::{sleep, timeout};

use super::error::DnsError;
use super::lookup::{Found, Resolver};
use super::{Record, name};

/// Between two rounds: first, and doubled up to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Of asking one server; all are asked at once.
const QUESTION: Duration = Duration::from_secs(5);
/// Servers of a zone that are asked, and addresses of each. Thirteen is what fits into a small answer.
const MOST_SERVERS: usize = 13;
const MOST_ADDRESSES: usize = 4;

/// A server, at any of its addresses.
struct Server {
    said: String,
    addresses: Vec<Resolver>,
}

/// What a server says.
enum Seen {
    Value,
    /// Not this value.
    Other,
    /// It cannot be asked.
    Silence(String),
}

impl Resolver {
    /// Waits until every one of `nameservers` has `record`. Without any, they are the servers of its zone; those that
    /// cannot be asked do not count, and if none of them can, this resolver counts. If the name is an alias (CNAME), the
    /// last one of its aliases is looked at.
    pub async fn propagated(
        &self,
        record: &Record,
        nameservers: &[SocketAddr],
        limit: Duration,
    ) -> Result<(), DnsError> {
        let name = name::parse(&record.name)?;
        let mut missing = "nobody could be asked in that time".to_owned();
        match timeout(limit, self.watch(&name, &record.value, nameservers, &mut missing)).await {
            Ok(seen) => seen,
            Err(_) => Err(DnsError::NotSeen { name: name::plain(&name), limit, missing }),
        }
    }

    /// Returns once it is seen; before, `missing` says who lacks it.
    async fn watch(
        &self,
        name: &Name,
        value: &str,
        nameservers: &[SocketAddr],
        missing: &mut String,
    ) -> Result<(), DnsError> {
        // Who is given a server may have no resolver that knows the zone.
        let name = match self.last_alias(name).await {
            Err(DnsError::Unanswered { .. }) => name.clone(),
            last => last?,
        };
        let given = nameservers.iter().take(MOST_SERVERS).map(|server| Server::at(*server));
        let given = given.collect::<Result<Vec<_>, _>>()?;
        let mut pause = FIRST_PAUSE;
        loop {
            let lacking = if given.is_empty() {
                self.round_of_zone(&name, value).await?
            } else {
                let seen = round(&given, &name, value).await;
                seen.into_iter().filter_map(|(said, seen)| seen.lacking(&said)).collect()
            };
            if lacking.is_empty() {
                return Ok(());
            }
            *missing = lacking.join(", ");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks the servers of the zone, or else this resolver; returns who lacks the value.
    async fn round_of_zone(&self, name: &Name, value: &str) -> Result<Vec<String>, DnsError> {
        let servers = self.servers(name).await?;
        let seen = round(&servers, name, value).await;
        let (silent, asked): (Vec<_>, Vec<_>) =
            seen.into_iter().partition(|(_, seen)| matches!(seen, Seen::Silence(_)));
        if !asked.is_empty() {
            return Ok(asked.into_iter().filter_map(|(said, seen)| seen.lacking(&said)).collect());
        }
        let Some(lacking) = self.seen(name, value).await.lacking(self.said()) else { return Ok(Vec::new()) };
        let silent = silent.into_iter().filter_map(|(said, seen)| seen.lacking(&said));
        Ok(std::iter::once(lacking).chain(silent).collect())
    }

    /// The servers of the zone that `name` is in; none if they cannot be found out.
    async fn servers(&self, name: &Name) -> Result<Vec<Server>, DnsError> {
        let Some(zone) = self.zone(name).await else { return Ok(Vec::new()) };
        let Found::Records(lookup) = self.ask(&zone, RecordType::NS).await else { return Ok(Vec::new()) };
        let names = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::NS(server) => Some(server.0.clone()),
            _ => None,
        });
        let found = join_all(names.take(MOST_SERVERS).map(|server| self.server(server))).await;
        found.into_iter().collect()
    }

    async fn server(&self, name: Name) -> Result<Server, DnsError> {
        let found = self.addresses_of(&name).await.unwrap_or_default();
        let addresses = found.into_iter().take(MOST_ADDRESSES).map(|ip| Self::only(SocketAddr::new(ip, self.port)));
        Ok(Server { said: name::plain(&name), addresses: addresses.collect::<Result<_, _>>()? })
    }

    async fn zone(&self, name: &Name) -> Option<Name> {
        for above in name::upwards(name) {
            let zone = match self.ask(&above, RecordType::SOA).await {
                Found::Records(lookup) => {
                    lookup.answers().iter().find(|record| record.record_type() == RecordType::SOA)?.name.clone()
                }
                Found::None(none) => match none.soa {
                    Some(soa) => soa.name,
                    None => continue,
                },
                Found::Unknown(_) => return None,
            };
            if zone.zone_of(name) && !zone.is_root() {
                return Some(zone);
            }
        }
        None
    }

    async fn seen(&self, name: &Name, value: &str) -> Seen {
        match timeout(QUESTION, self.ask(name, RecordType::TXT)).await {
            Err(_) => Seen::Silence(format!("no answer within {QUESTION:?}")),
            Ok(Found::Unknown(why)) => Seen::Silence(why),
            Ok(Found::None(_)) => Seen::Other,
            Ok(Found::Records(lookup)) => {
                let is_it = |data: &RData| matches!(data, RData::TXT(txt) if txt.txt_data.concat() == value.as_bytes());
                if lookup.answers().iter().any(|record| is_it(&record.data)) { Seen::Value } else { Seen::Other }
            }
        }
    }
}

impl Server {
    fn at(address: SocketAddr) -> Result<Self, DnsError> {
        Ok(Self { said: address.to_string(), addresses: vec![Resolver::only(address)?] })
    }

    /// What the first of its addresses that answers says.
    async fn seen(&self, name: &Name, value: &str) -> Seen {
        let mut last = Seen::Silence("it has no address".to_owned());
        for address in &self.addresses {
            last = address.seen(name, value).await;
            if !matches!(last, Seen::Silence(_)) {
                break;
            }
        }
        last
    }
}

impl Seen {
    /// For people, if the value is not there.
    fn lacking(self, said: &str) -> Option<String> {
        match self {
            Self::Value => None,
            Self::Other => Some(format!("{said} does not have it")),
            Self::Silence(why) => Some(format!("{said}: {why}")),
        }
    }
}

async fn round(servers: &[Server], name: &Name, value: &str) -> Vec<(String, Seen)> {
    let asked = servers.iter().map(|server| async { (server.said.clone(), server.seen(name, value).await) });
    join_all(asked).await
}
