// SPDX-License-Identifier: Apache-2.0
//! Whether a name leads here: asked before the authority is, for authorities count what fails. Asks as the authority
//! will: at the ports that it uses, at every address that the name has. Never validates DNSSEC.

mod digest;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::dns::{Caa, Resolver};
use crate::api::causes;
use crate::issuance::{Challenge, ChallengeType};

/// For all that is asked about one name at one address.
const DEADLINE: Duration = Duration::from_secs(10);
/// Addresses of a name that are asked.
const ADDRESSES: usize = 8;
/// Bytes of an answer: a key authorization has a hundred.
const LONGEST: usize = 4 << 10;
/// Where HTTP-01 is asked (RFC 8555 §8.3).
const HTTP: u16 = 80;
/// Where TLS-ALPN-01 is (RFC 8737 §3).
const TLS: u16 = 443;

/// Tells whether a name leads here.
#[async_trait]
pub trait Reach: fmt::Debug + Send + Sync + 'static {
    /// Asks for the answer to a challenge; the error says what was found instead, and what to repair.
    async fn look(&self, challenge: &Challenge) -> Result<(), String>;

    /// Whether the owner of `host`, perhaps a wildcard, lets an authority sign that has these names in CAA records; the
    /// error says whom instead. What cannot be found out the authority is left to find out.
    async fn permits(&self, host: &str, identities: &[&str]) -> Result<(), String>;
}

/// Asks as an authority does.
#[derive(Debug, Clone)]
pub struct Checks {
    http: u16,
    tls: u16,
}

impl Default for Checks {
    fn default() -> Self {
        Self::at(HTTP, TLS)
    }
}

impl Checks {
    /// At other ports than authorities ask at: for one of a test.
    pub fn at(http: u16, tls: u16) -> Self {
        Self { http, tls }
    }

    /// Where it asks.
    pub(super) fn ports(&self) -> [u16; 2] {
        [self.http, self.tls]
    }

    async fn at_address(&self, challenge: &Challenge, address: IpAddr) -> Result<(), String> {
        let asked = async {
            match challenge.kind {
                ChallengeType::Http01 => by_http(challenge, SocketAddr::new(address, self.http)).await,
                ChallengeType::TlsAlpn01 => by_tls(challenge, SocketAddr::new(address, self.tls)).await,
                ChallengeType::Dns01 => Ok(()),
            }
        };
        timeout(DEADLINE, asked).await.unwrap_or_else(|_| Err(format!("{address} did not answer in time")))
    }
}

#[async_trait]
impl Reach for Checks {
    async fn look(&self, challenge: &Challenge) -> Result<(), String> {
        if challenge.kind == ChallengeType::Dns01 {
            return Ok(());
        }
        for address in addresses(&challenge.host).await? {
            self.at_address(challenge, address).await?;
        }
        Ok(())
    }

    async fn permits(&self, host: &str, identities: &[&str]) -> Result<(), String> {
        let name = host.strip_prefix("*.").unwrap_or(host);
        let Ok(resolver) = Resolver::system() else { return Ok(()) };
        let found = timeout(DEADLINE, resolver.caa(name)).await;
        found.ok().and_then(Result::ok).map_or(Ok(()), |caa| permitted(&caa, host, identities))
    }
}

fn permitted(caa: &Caa, host: &str, identities: &[&str]) -> Result<(), String> {
    let is_wildcard = host.starts_with("*.");
    let (Some(first), Some(at)) = (identities.first(), &caa.at) else { return Ok(()) };
    if identities.iter().any(|identity| caa.allows(identity, is_wildcard)) {
        return Ok(());
    }
    let tag = if is_wildcard { "issuewild" } else { "issue" };
    Err(format!("the CAA records of {at} do not let this authority sign for {host}; add one: 0 {tag} \"{first}\""))
}

/// Addresses of a name, IPv4 and IPv6.
pub(super) async fn addresses(host: &str) -> Result<BTreeSet<IpAddr>, String> {
    let none = |why: String| format!("DNS has no A or AAAA record of {host} ({why}); let it lead to this Gateway");
    let found = timeout(DEADLINE, tokio::net::lookup_host((host, 0))).await;
    let found = found.map_err(|_| none("no answer in time".to_owned()))?.map_err(|error| none(error.to_string()))?;
    let addresses: BTreeSet<_> = found.map(|socket| socket.ip()).take(ADDRESSES).collect();
    if addresses.is_empty() { Err(none("no data".to_owned())) } else { Ok(addresses) }
}

async fn connect(at: SocketAddr) -> Result<TcpStream, String> {
    let why = |error| format!("DNS leads to {at}, which cannot be connected to ({error}); open that port");
    TcpStream::connect(at).await.map_err(why)
}

async fn by_http(challenge: &Challenge, at: SocketAddr) -> Result<(), String> {
    let Challenge { host, token, key_authorization, .. } = challenge;
    let unusable = |why: String| format!("{at} does not answer: {why}");
    let stream = TokioIo::new(connect(at).await?);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(|error| unusable(causes(&error)))?;
    let asking = async {
        let request = Request::get(format!("/.well-known/acme-challenge/{token}")).header("host", host);
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| unusable(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|error| unusable(causes(&error)))?;
        let status = answer.status();
        let body =
            Limited::new(answer.into_body(), LONGEST).collect().await.map_err(|error| unusable(error.to_string()))?;
        if status == http::StatusCode::OK && body.to_bytes().trim_ascii() == key_authorization.as_bytes() {
            return Ok(());
        }
        Err(format!(
            "DNS leads to {at}, where somebody else answers (status {status}); let {host} lead to this Gateway only"
        ))
    };
    let mut asking = pin!(asking);
    tokio::select! {
        done = &mut asking => done,
        // It may have hung up after the answer, which is still to be read then.
        _ = connection => asking.await,
    }
}

async fn by_tls(challenge: &Challenge, at: SocketAddr) -> Result<(), String> {
    let host = &challenge.host;
    let name = ServerName::try_from(host.clone()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(digest::config(&challenge.key_authorization)?));
    let shaken = connector.connect(name, connect(at).await?).await;
    shaken.map(drop).map_err(|error| {
        let why = causes(&error);
        format!("at {at} TLS does not end here ({why}); let {host} lead to this Gateway, with TLS untouched")
    })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn challenge(kind: ChallengeType) -> Challenge {
        Challenge { host: "localhost".into(), kind, token: "tok".into(), key_authorization: "tok.key".into() }
    }

    /// A server that answers every connection with `text`.
    async fn server(text: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 1024];
                let read = stream.read(&mut head).await.unwrap();
                let asked = String::from_utf8_lossy(&head[..read]).into_owned();
                assert!(asked.starts_with("GET /.well-known/acme-challenge/tok HTTP/1.1\r\nhost: localhost\r\n"));
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        });
        port
    }

    async fn found(text: &'static str) -> Result<(), String> {
        let port = server(text).await;
        let local = "127.0.0.1".parse().unwrap();
        Checks::at(port, 0).at_address(&challenge(ChallengeType::Http01), local).await
    }

    #[tokio::test]
    async fn only_the_answer_itself_is_good() {
        assert_eq!(found("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ntok.key").await, Ok(()));
        for other in [
            "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ntok.kez",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\ntok.key",
            "HTTP/1.1 301 Moved\r\nlocation: https://localhost/\r\ncontent-length: 0\r\n\r\n",
        ] {
            let why = found(other).await.unwrap_err();
            assert!(
                why.contains("somebody else answers") && why.contains("let localhost lead to this Gateway"),
                "{why}"
            );
        }
        assert!(found("").await.unwrap_err().contains("does not answer"));
    }

    #[tokio::test]
    async fn a_closed_port_and_a_name_of_nobody_are_told() {
        let checks = Checks::at(1, 1);
        let why = checks.look(&challenge(ChallengeType::Http01)).await.unwrap_err();
        assert!(why.contains("cannot be connected to"), "{why}");
        let nobody = Challenge { host: "nobody.invalid".into(), ..challenge(ChallengeType::TlsAlpn01) };
        let why = checks.look(&nobody).await.unwrap_err();
        assert!(why.starts_with("DNS has no A or AAAA record of nobody.invalid"), "{why}");
    }

    #[test]
    fn who_is_not_let_sign_is_told_which_record_to_add() {
        let only = |domain: &str| Caa {
            at: Some("example".into()),
            issue: vec![crate::acme::dns::Issuer { domain: domain.into(), parameters: Vec::new() }],
            ..Caa::default()
        };
        assert_eq!(permitted(&only("letsencrypt.org"), "a.example", &["letsencrypt.org"]), Ok(()));
        assert_eq!(permitted(&Caa::default(), "a.example", &["letsencrypt.org"]), Ok(()));
        assert_eq!(permitted(&only("other.example"), "a.example", &[]), Ok(()), "its name is not known");
        let why = permitted(&only("other.example"), "*.a.example", &["letsencrypt.org"]).unwrap_err();
        assert!(why.ends_with("add one: 0 issuewild \"letsencrypt.org\""), "{why}");
    }

    #[tokio::test]
    async fn a_challenge_of_dns_needs_no_address() {
        let nobody = Challenge { host: "nobody.invalid".into(), ..challenge(ChallengeType::Dns01) };
        assert_eq!(Checks::default().look(&nobody).await, Ok(()));
    }
}
