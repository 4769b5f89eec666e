// SPDX-License-Identifier: Apache-2.0
//! Rules of Istio's Gateway (`ValidateGateway`). Never about the Secrets that it names.

use std::collections::BTreeSet;

use crate::istio::IstioGateway;
use crate::istio::gateway::Server;
use crate::istio::names::{HostScope, Protocol, ServerHost};
use crate::istio::rules::facts;
use crate::istio::rules::shared::at_most;
use crate::istio::server_tls::{
    CertificateFiles, ServerCertificates, ServerTls, ServerTlsMode, TlsVersion, is_cipher_suite,
};
use crate::violation::{At, Findings};

pub(super) fn judge(gateway: &IstioGateway, root: &At<'_>, found: &mut Findings) {
    if !facts::is_label(&gateway.meta.name) {
        let remedy = "use at most 63 letters, digits and -: others name it as namespace/name";
        found.error(&root.field("metadata").field("name"), "is not a name of a Gateway of Istio", remedy);
    }
    let (spec, servers) = (root.field("spec"), &gateway.spec.servers);
    let at = spec.field("servers");
    if servers.is_empty() {
        found.error(&at, "is empty", "add a server with port and hosts");
    }
    let (mut ports, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (index, server) in servers.iter().enumerate() {
        let at = at.item(index);
        if !ports.insert(&server.port.name) && !server.port.name.is_empty() {
            let why = format!("repeats the name {:?} of another server's port", server.port.name);
            found.error(&at.field("port").field("name"), why, "give each port a name of its own");
        }
        if server.name.as_ref().is_some_and(|name| !names.insert(name)) {
            found.warning(
                &at.field("name"),
                "repeats the name of another server",
                "give each server a name of its own",
            );
        }
        judge_server(server, &at, found);
    }
}

fn judge_server(server: &Server, at: &At<'_>, found: &mut Findings) {
    let hosts = at.field("hosts");
    if server.hosts.is_empty() {
        found.error(&hosts, "is empty", "name the hosts; * is every host");
    }
    for (index, host) in server.hosts.iter().enumerate() {
        judge_host(host, &hosts.item(index), found);
    }
    let port = at.field("port");
    if server.port.name.is_empty() {
        found.error(&port.field("name"), "is empty", "give the port a name");
    }
    if let Protocol::Unspecified | Protocol::Other(_) = &server.port.protocol {
        let remedy = "write HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TLS, TCP or MONGO";
        found.error(&port.field("protocol"), "is not a protocol", remedy);
    }
    if server.bind.as_deref().is_some_and(|bind| !facts::is_ip(bind)) {
        found.error(&at.field("bind"), "is not an IP address", "write one, or leave it out to listen on all of them");
    }
    judge_port_with_tls(server, at, found);
    if let Some(tls) = &server.tls {
        judge_tls(tls, &at.field("tls"), found);
    }
}

fn judge_host(host: &ServerHost, at: &At<'_>, found: &mut Findings) {
    if let HostScope::Namespace(namespace) = &host.scope
        && !facts::is_label(namespace)
    {
        found.error(at, format!("has no namespace before the /: {namespace:?}"), "write *, . or a namespace there");
    }
    let name = &host.dns_name;
    let is_short = name != "*" && !name.contains(['.', ':']);
    if is_short || facts::is_partial_wildcard(name) || !(facts::is_pattern(name) || facts::is_ip(name)) {
        let remedy = "write a whole DNS name, *.suffix, * or an IP address";
        found.error(at, format!("is not a host of a server: {name:?}"), remedy);
    }
}

/// Which protocols go with TLS.
fn judge_port_with_tls(server: &Server, at: &At<'_>, found: &mut Findings) {
    let (protocol, place) = (&server.port.protocol, at.field("tls"));
    match &server.tls {
        None if protocol.is_tls() => {
            found.error(&place, "is missing, but the protocol is HTTPS or TLS", "say mode and credentialName");
        }
        Some(tls) if protocol.is_http() => {
            let passes = matches!(tls.mode, ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough);
            if !passes || tls.ca_certificates.is_some() || matches!(tls.certificates, ServerCertificates::Files(_)) {
                let remedy = "write protocol HTTPS, or nothing but httpsRedirect";
                found.error(&place, "does not go with HTTP in the clear", remedy);
            }
        }
        Some(_) if !protocol.is_tls() => {
            found.error(&place, "goes only with HTTPS and TLS", "write protocol TLS, or remove tls");
        }
        _ => {}
    }
    if !protocol.is_http() && server.tls.as_ref().is_some_and(|tls| tls.https_redirect) {
        found.warning(&place.field("httpsRedirect"), "has an effect on HTTP only", "put it on the server of HTTP");
    }
}

fn judge_tls(tls: &ServerTls, at: &At<'_>, found: &mut Findings) {
    judge_ciphers(tls, at, found);
    let certificates = &tls.certificates;
    match tls.mode {
        ServerTlsMode::IstioMutual => {
            if *certificates != ServerCertificates::None || tls.ca_certificates.is_some() {
                found.error(at, "has certificates beside ISTIO_MUTUAL, which has the mesh's", "remove them");
            }
        }
        ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => {
            if *certificates != ServerCertificates::None || tls.ca_certificates.is_some() || tls.ca_crl.is_some() {
                found.warning(at, "has certificates, but TLS is passed on", "remove them, or write mode SIMPLE");
            }
        }
        ServerTlsMode::Simple | ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual => {
            judge_certificates(tls, at, found);
        }
    }
}

fn judge_certificates(tls: &ServerTls, at: &At<'_>, found: &mut Findings) {
    let files = match &tls.certificates {
        // CA and revocations are in the Secrets, too.
        ServerCertificates::Credentials(names) => return at_most(2, names.len(), &at.field("credentialNames"), found),
        ServerCertificates::None => &[CertificateFiles::default()][..],
        ServerCertificates::Files(files) => files,
    };
    at_most(2, files.len(), &at.field("tlsCertificates"), found);
    if files.iter().any(|pair| pair.server_certificate.is_none() || pair.private_key.is_none()) {
        let remedy = "write credentialName, or both serverCertificate and privateKey";
        found.error(at, "has no certificate with its key", remedy);
    }
    let has_ca = tls.ca_certificates.is_some() || tls.ca_credential.is_some();
    if tls.mode != ServerTlsMode::Simple && !has_ca {
        found.error(at, "has no authorities that clients are checked with", "write credentialName, or caCertificates");
    }
    if tls.ca_crl.is_some() && tls.mode == ServerTlsMode::Simple {
        found.error(&at.field("caCrl"), "has no effect where no client is checked", "write mode MUTUAL, or remove it");
    }
}

fn judge_ciphers(tls: &ServerTls, at: &At<'_>, found: &mut Findings) {
    if matches!(tls.min_version, TlsVersion::V1_0 | TlsVersion::V1_1) && tls.cipher_suites.is_empty() {
        let why = "is below TLS 1.2, for which no cipher suites are usual";
        found.warning(&at.field("minProtocolVersion"), why, "write TLSV1_2, or cipherSuites");
    }
    let mut seen = BTreeSet::new();
    for (index, suite) in tls.cipher_suites.iter().enumerate() {
        let place = at.field("cipherSuites");
        if !is_cipher_suite(suite) {
            found.warning(&place.item(index), format!("is not a cipher suite: {suite:?}"), "use a name of OpenSSL");
        } else if !seen.insert(suite) {
            found.warning(&place.item(index), "repeats a cipher suite", "remove it");
        }
    }
}
