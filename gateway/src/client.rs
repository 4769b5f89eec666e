// SPDX-License-Identifier: Apache-2.0
//! Who asks: the other end of the connection, or whom proxies before this one name, as many of which are believed as the
//! listener says. Never tells anybody.

use std::net::{IpAddr, SocketAddr};

use crate::head::{Head, Known, Scheme};

/// Who asks, as far as it is known: the other end of the connection, or whom proxies before this one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// What such proxies said.
    pub(crate) told: Option<Box<Told>>,
}

/// What is believed of what proxies before this one said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Addresses, the client's first.
    pub(crate) chain: Vec<IpAddr>,
    /// How the client came to the first of them.
    pub(crate) scheme: Option<Scheme>,
}

impl Client {
    /// The client at the other end, `peer`, of a connection that comes through `hops` proxies. What is said of it is taken
    /// out of `head`: only the last `hops` addresses are believed, for whoever asks writes what he likes before them; where
    /// there are fewer, somebody has come past a proxy, and none is.
    pub fn of(head: &mut Head, hops: u8, peer: IpAddr) -> Self {
        let peer = peer.to_canonical();
        if head.fields.first_known(Known::Forwarding).is_none() {
            return Self { address: peer, told: None };
        }
        let said = head.fields.joined("x-forwarded-for").unwrap_or_default().into_owned();
        let mut chain: Vec<_> = said.rsplit(',').take(hops.into()).map_while(address).collect();
        chain.reverse();
        if chain.len() < hops.into() {
            chain.clear();
        }
        let scheme = head.fields.values("x-forwarded-proto").last().filter(|_| hops > 0).and_then(scheme);
        head.fields.retain(|known, _, _| known != Known::Forwarding);
        let client = chain.first().copied().unwrap_or(peer);
        let told = (!chain.is_empty() || scheme.is_some()).then(|| Box::new(Told { chain, scheme }));
        Self { address: client, told }
    }
}

/// How the client of a request was found, in words: how many proxies are believed, and what they said.
pub fn how(hops: u8, said: Option<&str>, client: IpAddr, peer: IpAddr) -> String {
    let said = said.unwrap_or_default();
    match hops {
        0 if said.is_empty() => "the other end of the connection".to_owned(),
        0 => "the other end of the connection: no proxy before this one is trusted, so X-Forwarded-For counts for nothing".into(),
        _ if client == peer => {
            format!("the other end of the connection: X-Forwarded-For has no {hops} addresses that trusted proxies wrote")
        }
        _ => format!("the address that the outermost of {hops} trusted proxies wrote into X-Forwarded-For"),
    }
}

/// An address as proxies write it: by itself, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|it| it.ip()));
    address.map(|it| it.to_canonical())
}

fn scheme(text: &[u8]) -> Option<Scheme> {
    match text {
        b"https" => Some(Scheme::Https),
        b"http" => Some(Scheme::Http),
        _ => None,
    }
}
