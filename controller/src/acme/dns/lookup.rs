// SPDX-License-Identifier: Apache-2.0
//! Looks names up: where they lead, whose alias they are, which authorities may issue for them. Absolute names only, and
//! neither the hosts file nor a cache: what counts is what an authority will see. Never judges what it finds.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as Failure, NetError, NoRecords};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::timeout;

use super::caa::Caa;
use super::error::DnsError;
use super::message::label;
use super::name;

/// Of one call here, however many questions it takes.
const DEADLINE: Duration = Duration::from_secs(10);
/// Of one question to one server, which is repeated once.
const QUESTION: Duration = Duration::from_secs(3);
/// Aliases of aliases that are followed.
const MOST_ALIASES: usize = 8;
/// The port of name servers.
const PORT: u16 = 53;

/// Who is asked about names.
#[derive(Debug, Clone)]
pub struct Resolver {
    asked: TokioResolver,
    /// Who that is, for people.
    said: String,
    /// The port of the servers of zones. It is 53 wherever there is no laboratory around.
    pub port: u16,
}

/// What one question came to.
pub(super) enum Found {
    Records(Lookup),
    /// There are none.
    None(NoRecords),
    /// Nobody can tell.
    Unknown(String),
}

impl Resolver {
    /// Those whom this machine asks.
    pub fn system() -> Result<Self, DnsError> {
        let builder = TokioResolver::builder_tokio().map_err(|error| DnsError::NoResolver(error.to_string()))?;
        Self::built(builder, "the resolver of this machine".to_owned())
    }

    /// This server only, over UDP, and over TCP where an answer is long or UDP fails.
    pub fn only(server: SocketAddr) -> Result<Self, DnsError> {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].into_iter().map(|mut connection| {
            connection.port = server.port();
            connection
        });
        let server_config = NameServerConfig::new(server.ip(), true, connections.collect());
        let config = ResolverConfig::from_name_servers(vec![server_config]);
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        Self::built(builder, server.to_string())
    }

    fn built(
        mut builder: hickory_resolver::ResolverBuilder<TokioRuntimeProvider>,
        said: String,
    ) -> Result<Self, DnsError> {
        restrict(builder.options_mut());
        let asked = builder.build().map_err(|error| DnsError::NoResolver(error.to_string()))?;
        Ok(Self { asked, said, port: PORT })
    }

    /// Who is asked, for people.
    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// The addresses of `host`, through aliases. One that does not exist is [`DnsError::Absent`], one without addresses
    /// [`DnsError::Empty`].
    pub async fn addresses(&self, host: &str) -> Result<BTreeSet<IpAddr>, DnsError> {
        let name = name::parse(host)?;
        self.in_time(&name, self.addresses_of(&name)).await
    }

    pub(super) async fn addresses_of(&self, name: &Name) -> Result<BTreeSet<IpAddr>, DnsError> {
        let (four, six) = tokio::join!(self.ask(name, RecordType::A), self.ask(name, RecordType::AAAA));
        let (mut addresses, mut absent, mut unknown) = (BTreeSet::new(), false, None);
        for found in [four, six] {
            match found {
                Found::Records(lookup) => addresses.extend(lookup.answers().iter().filter_map(|it| it.data.ip_addr())),
                Found::None(none) => absent |= none.response_code == ResponseCode::NXDomain,
                Found::Unknown(why) => unknown = Some(why),
            }
        }
        let plain = name::plain(name);
        match unknown {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(why) => Err(self.unanswered(name, why)),
            None if absent => Err(DnsError::Absent { name: plain }),
            None => Err(DnsError::Empty { name: plain, kind: "A or AAAA" }),
        }
    }

    /// The name that records of `name` belong to: the last of its aliases (CNAME), or itself. The owner of
    /// `_acme-challenge.example.com` may so have the records of challenges in another zone.
    pub async fn delegated(&self, name: &str) -> Result<String, DnsError> {
        let name = name::parse(name)?;
        self.in_time(&name, self.last_alias(&name)).await.map(|last| name::plain(&last))
    }

    pub(super) async fn last_alias(&self, name: &Name) -> Result<Name, DnsError> {
        let mut at = name.clone();
        for _ in 0..=MOST_ALIASES {
            let lookup = match self.ask(&at, RecordType::CNAME).await {
                Found::Records(lookup) => lookup,
                Found::None(_) => return Ok(at),
                Found::Unknown(why) => return Err(self.unanswered(&at, why)),
            };
            let target = lookup.answers().iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == at => Some(target.0.clone()),
                _ => None,
            });
            match target {
                Some(target) => at = name::parse(&target.to_ascii())?,
                None => return Ok(at),
            }
        }
        Err(DnsError::Aliases { name: name::plain(name), at: name::plain(&at), hops: MOST_ALIASES })
    }

    /// Which authorities may issue for `host`: the records of the name itself, or else of the nearest above it that has
    /// any (RFC 8659 §3). A wildcard is asked for by the name below its `*`.
    pub async fn caa(&self, host: &str) -> Result<Caa, DnsError> {
        let name = name::parse(host)?;
        self.in_time(&name, self.caa_of(&name)).await
    }

    async fn caa_of(&self, name: &Name) -> Result<Caa, DnsError> {
        for above in name::upwards(name) {
            match self.ask(&above, RecordType::CAA).await {
                Found::None(_) => {}
                Found::Unknown(why) => return Err(self.unanswered(&above, why)),
                Found::Records(lookup) => {
                    let records = lookup.answers().iter().filter_map(|record| match &record.data {
                        RData::CAA(caa) => Some(caa),
                        _ => None,
                    });
                    let mut records = records.peekable();
                    if records.peek().is_some() {
                        return Ok(Caa::of(name::plain(&above), records));
                    }
                }
            }
        }
        Ok(Caa::default())
    }

    pub(super) async fn ask(&self, name: &Name, kind: RecordType) -> Found {
        match self.asked.lookup(name.clone(), kind).await {
            Ok(lookup) => Found::Records(lookup),
            Err(NetError::Dns(Failure::NoRecordsFound(none))) => match none.response_code {
                ResponseCode::NoError | ResponseCode::NXDomain => Found::None(none),
                code => Found::Unknown(label(code)),
            },
            Err(NetError::Dns(Failure::ResponseCode(code))) => Found::Unknown(label(code)),
            Err(error) => Found::Unknown(error.to_string()),
        }
    }

    pub(super) fn unanswered(&self, name: &Name, why: String) -> DnsError {
        DnsError::Unanswered { name: name::plain(name), server: self.said.clone(), why }
    }

    async fn in_time<T>(&self, name: &Name, call: impl Future<Output = Result<T, DnsError>>) -> Result<T, DnsError> {
        let late = |_| self.unanswered(name, format!("no answer within {DEADLINE:?}"));
        timeout(DEADLINE, call).await.map_err(late)?
    }
}

fn restrict(options: &mut ResolverOpts) {
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = QUESTION;
    options.attempts = 2;
    options.try_tcp_on_error = true;
}
