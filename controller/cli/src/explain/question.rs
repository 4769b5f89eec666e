// SPDX-License-Identifier: Apache-2.0
//! The request to explain: what a client would send for a URL, a method and headers.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail};
use http::Uri;
use torana_gateway::fault::Reject;
use torana_gateway::head::{Head, Scheme};
use torana_gateway::table::imagine;

/// Who asks, if nothing else is said: an address for documents (RFC 5737 §3).
pub(super) const SOMEBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A request that nobody sends.
#[derive(Debug, Clone)]
pub struct Question {
    /// How the gateway is reached.
    pub scheme: Scheme,
    /// Host of the URL: what a client would put into the TLS handshake, whatever `Host` says.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Method as written.
    pub method: String,
    /// `Host`: the URL's authority unless a header says otherwise.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// All other headers.
    pub headers: Vec<(String, String)>,
    /// The other end of the connection.
    pub from: IpAddr,
    /// Names in the client's certificate, which was verified: `spiffe://…`.
    pub identities: Vec<String>,
}

impl Question {
    /// Reads what the command line says. `headers` are `Name: value`; a URL without a scheme is HTTP.
    pub fn new(url: &str, method: &str, headers: &[String]) -> anyhow::Result<Self> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        // A fragment is never sent.
        let url = url.split('#').next().unwrap_or_default();
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            other => bail!("the scheme must be http or https, not {}", other.unwrap_or("absent")),
        };
        let authority = uri.authority().context("the URL names no host")?;
        let standard = if scheme == Scheme::Https { 443 } else { 80 };
        let mut question = Self {
            scheme,
            host: authority.host().trim_end_matches('.').to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(standard),
            method: method.to_owned(),
            authority: authority.as_str().to_ascii_lowercase(),
            target: uri.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
            headers: Vec::new(),
            from: SOMEBODY,
            identities: Vec::new(),
        };
        for header in headers {
            let (name, value) = header.split_once(':').with_context(|| format!("{header:?} is not \"Name: value\""))?;
            question.header(name.trim(), value.trim());
        }
        Ok(question)
    }

    fn header(&mut self, name: &str, value: &str) {
        if name.eq_ignore_ascii_case("host") {
            self.authority = value.to_ascii_lowercase();
        } else {
            self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// The head as the gateway sees it, or the gate's objection.
    pub fn head(&self) -> Result<Head, Reject> {
        let host = [("host", self.authority.as_str())];
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let fields: Vec<_> = host.into_iter().chain(headers).collect();
        imagine(self.scheme, &self.method, &self.target, &fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_curl_reads_it() {
        let question = Question::new("HTTP://A.example.com./x?y#z", "GET", &["X-A: b: c".into()]).unwrap();
        assert_eq!((question.host.as_str(), question.port, question.target.as_str()), ("a.example.com", 80, "/x?y"));
        assert_eq!(question.headers, [("x-a".to_owned(), "b: c".to_owned())]);
        assert_eq!(Question::new("https://a/", "GET", &[]).unwrap().port, 443);
        assert_eq!(Question::new("a.example.com:8080/x", "GET", &[]).unwrap().port, 8080);
    }

    #[test]
    fn a_host_header_changes_the_authority_and_not_the_handshake() {
        let question = Question::new("https://a.example.com/", "GET", &["Host: B.example.com".into()]).unwrap();
        assert_eq!((question.host.as_str(), question.authority.as_str()), ("a.example.com", "b.example.com"));
    }

    #[test]
    fn nonsense_is_refused_with_a_sentence() {
        for (url, header) in [("ftp://a/", None), ("http://", None), ("http://a b/", None), ("http://a/", Some("x"))] {
            let headers: Vec<String> = header.into_iter().map(str::to_owned).collect();
            assert!(Question::new(url, "GET", &headers).is_err(), "{url}");
        }
    }
}
