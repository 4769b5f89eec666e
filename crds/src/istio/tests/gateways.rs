// SPDX-License-Identifier: Apache-2.0
//! Rules of Istio's Gateway.

use super::*;

/// A spec of one server, of which the port, the hosts and the rest are said.
fn server(port: &str, hosts: &str, rest: &str) -> String {
    format!("servers: [{{port: {{number: 1, name: p, protocol: {port}}}, hosts: [{hosts}]{rest}}}]")
}

/// Port, hosts and the rest of a server, and what is said of it.
type Row<'a> = ((&'a str, &'a str, &'a str), &'a [&'a str]);

#[track_caller]
fn servers(rows: &[Row<'_>]) {
    for ((port, hosts, rest), expected) in rows {
        judged(Kind::IstioGateway, &[(&server(port, hosts, rest), expected)]);
    }
}

#[test]
fn servers_are_there_and_have_names_of_their_own() {
    let port = "port: {number: 80, name: web, protocol: HTTP}, hosts: ['*']";
    judged(
        Kind::IstioGateway,
        &[
            ("{}", &["! spec.servers: is empty"]),
            (
                &format!("servers: [{{name: a, {port}}}, {{name: a, {port}}}]"),
                &[
                    "! spec.servers[1].port.name: repeats the name \"web\" of another server's port",
                    "? spec.servers[1].name: repeats the name of another server",
                ],
            ),
            (
                "servers: [{port: {number: 80, name: '', protocol: HTTP}, hosts: ['*']}]",
                &["! spec.servers[0].port.name: is empty"],
            ),
        ],
    );
    let mut dotted = object(Kind::IstioGateway, yaml(&format!("servers: [{{{port}}}]")));
    dotted["metadata"]["name"] = json!("a.b");
    let Some(Object::IstioGateway(gateway)) = decode(dotted, "web").content.object() else { panic!("unreadable") };
    assert_eq!(gateway.problems()[0].path, "metadata.name");
}

#[test]
fn hosts_are_whole_names() {
    for good in ["'*'", "a.example", "'*.a.example'", "./a.example", "'*/*'", "team/a.example", "10.0.0.1", "'::1'"] {
        servers(&[(("HTTP", good, ""), &[])]);
    }
    servers(&[
        (("HTTP", "", ""), &["! spec.servers[0].hosts: is empty"]),
        (("HTTP", "short", ""), &["! spec.servers[0].hosts[0]: is not a host of a server: \"short\""]),
        (("HTTP", "'*', '*a.example'", ""), &["! spec.servers[0].hosts[1]: is not a host of a server: \"*a.example\""]),
        (("HTTP", "a.*.example", ""), &["! spec.servers[0].hosts[0]: is not a host of a server: \"a.*.example\""]),
        (("HTTP", "./", ""), &["! spec.servers[0].hosts[0]: is not a host of a server: \"\""]),
        (("HTTP", "/a.example", ""), &["! spec.servers[0].hosts[0]: has no namespace before the /: \"\""]),
        (("HTTP", "~/a.example", ""), &["! spec.servers[0].hosts[0]: has no namespace before the /: \"~\""]),
    ]);
}

#[test]
fn ports_have_a_protocol_and_an_address() {
    for good in ["HTTP", "http2", "GRPC", "grpc-web", "TCP", "MONGO"] {
        servers(&[((good, "'*'", ""), &[])]);
    }
    servers(&[
        (("QUIC", "'*'", ""), &["! spec.servers[0].port.protocol: is not a protocol"]),
        (("''", "'*'", ""), &["! spec.servers[0].port.protocol: is not a protocol"]),
        (("HTTP", "'*'", ", bind: 10.0.0.1"), &[]),
        (("HTTP", "'*'", ", bind: unix:///a"), &["! spec.servers[0].bind: is not an IP address"]),
    ]);
}

#[test]
fn tls_goes_with_https_and_tls() {
    servers(&[
        (("HTTPS", "'*'", ""), &["! spec.servers[0].tls: is missing, but the protocol is HTTPS or TLS"]),
        (("TLS", "'*'", ", tls: {}"), &[]),
        (("TLS", "'*'", ", tls: {mode: AUTO_PASSTHROUGH}"), &[]),
        (("HTTP", "'*'", ", tls: {httpsRedirect: true}"), &[]),
        (
            ("HTTP", "'*'", ", tls: {mode: SIMPLE, credentialName: a}"),
            &["! spec.servers[0].tls: does not go with HTTP in the clear"],
        ),
        (("TCP", "'*'", ", tls: {}"), &["! spec.servers[0].tls: goes only with HTTPS and TLS"]),
        (
            ("TLS", "'*'", ", tls: {httpsRedirect: true}"),
            &["? spec.servers[0].tls.httpsRedirect: has an effect on HTTP only"],
        ),
    ]);
}

#[test]
fn tls_that_ends_here_has_a_certificate() {
    let files = "serverCertificate: /c, privateKey: /k";
    let tls = |tls: &str| format!(", tls: {{{tls}}}");
    for (text, expected) in [
        ("mode: SIMPLE, credentialName: a".to_owned(), &[][..]),
        ("mode: MUTUAL, credentialName: a".to_owned(), &[]),
        ("mode: OPTIONAL_MUTUAL, credentialNames: [a, b]".to_owned(), &[]),
        (format!("mode: SIMPLE, {files}"), &[]),
        (format!("mode: MUTUAL, {files}, caCertificates: /ca, caCrl: /crl"), &[]),
        (format!("mode: MUTUAL, {files}, caCertCredentialName: ca"), &[]),
        ("mode: ISTIO_MUTUAL".to_owned(), &[]),
        ("mode: SIMPLE".to_owned(), &["! spec.servers[0].tls: has no certificate with its key"]),
        ("mode: SIMPLE, serverCertificate: /c".to_owned(), &["! spec.servers[0].tls: has no certificate with its key"]),
        (
            format!("mode: MUTUAL, {files}"),
            &["! spec.servers[0].tls: has no authorities that clients are checked with"],
        ),
        (
            format!("mode: SIMPLE, {files}, caCrl: /crl"),
            &["! spec.servers[0].tls.caCrl: has no effect where no client is checked"],
        ),
        (
            "mode: SIMPLE, credentialNames: [a, b, c]".to_owned(),
            &["! spec.servers[0].tls.credentialNames: has 3 entries, 2 are the most"],
        ),
        (
            "mode: ISTIO_MUTUAL, credentialName: a".to_owned(),
            &["! spec.servers[0].tls: has certificates beside ISTIO_MUTUAL, which has the mesh's"],
        ),
        ("credentialName: a".to_owned(), &["? spec.servers[0].tls: has certificates, but TLS is passed on"]),
    ] {
        servers(&[(("HTTPS", "'*'", &tls(&text)), expected)]);
    }
}

#[test]
fn ciphers_that_are_not_known_are_told() {
    let tls = |tls: &str| format!(", tls: {{mode: SIMPLE, credentialName: a, {tls}}}");
    servers(&[
        (("HTTPS", "'*'", &tls("minProtocolVersion: TLSV1_0, cipherSuites: [AES128-SHA]")), &[]),
        (
            ("HTTPS", "'*'", &tls("minProtocolVersion: TLSV1_1")),
            &["? spec.servers[0].tls.minProtocolVersion: is below TLS 1.2, for which no cipher suites are usual"],
        ),
        (
            ("HTTPS", "'*'", &tls("cipherSuites: [AES128-SHA, X, AES128-SHA]")),
            &[
                "? spec.servers[0].tls.cipherSuites[1]: is not a cipher suite: \"X\"",
                "? spec.servers[0].tls.cipherSuites[2]: repeats a cipher suite",
            ],
        ),
    ]);
}
