// SPDX-License-Identifier: Apache-2.0
//! What several modules' tests are made of: names, a listener on the loopback, a free port.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::ops::DerefMut;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConnection, ConnectionCommon, DigitallySignedStruct, Error, ServerConnection, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use torana_ir::{
    AcmeHost, AcmeHostKey, Certificate, CertificateKey, Delta, GatewayId, Listener, ListenerKey, Resource,
};

use crate::demands::Demands;
use crate::mesh::State;
use crate::observe::Metrics;
use crate::trace::Spans;
use crate::upstream::{Introduction, Standing};

/// Where tests listen.
pub(crate) const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A listener of the Gateway `n/g`.
pub(crate) fn listener_key(name: &str) -> ListenerKey {
    ListenerKey { gateway: GatewayId { namespace: "n".into(), name: "g".into() }, set: None, name: name.into() }
}

/// A cleartext listener for every host.
pub(crate) fn listen(name: &str, port: u16) -> Delta {
    let listener = Listener { addresses: vec![LOCAL], ..Listener::new(listener_key(name), port) };
    Delta { upserts: vec![Resource::Listener(Arc::new(listener))], removals: vec![] }
}

/// A self-signed certificate of the Secret `n/name`.
pub(crate) fn certificate(name: &str, hosts: &[&str]) -> Certificate {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(hosts).unwrap();
    let key = CertificateKey { namespace: "n".into(), name: name.into() };
    let (chain, pem) = (made.cert.pem(), made.signing_key.serialize_pem());
    Certificate::from_pem(key, chain.as_bytes(), pem.as_bytes()).unwrap()
}

/// A host of the Gateway `n/gateway`, with the key authorization `TOKEN.thumb` for each token.
pub(crate) fn acme_host(gateway: &str, host: &str, tokens: &[&str], proof: Option<&str>, reserves: bool) -> AcmeHost {
    let key = AcmeHostKey { gateway: GatewayId { namespace: "n".into(), name: gateway.into() }, host: host.into() };
    let answers = tokens.iter().map(|token| ((*token).to_owned(), format!("{token}.thumb")));
    AcmeHost::new(key, answers.collect(), proof.map(str::to_owned), reserves).unwrap()
}

/// Takes every certificate of a server, whatever it says.
#[derive(Debug)]
pub(crate) struct Trusting(pub(crate) Vec<SignatureScheme>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

/// A handshake in memory, as far as it gets; what one of them does not like is the error.
pub(crate) fn handshake(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    for _ in 0..8 {
        pass(client, server)?;
        pass(server, client)?;
    }
    Ok(())
}

/// Everything that one has to say to the other.
fn pass<F, T>(
    from: &mut impl DerefMut<Target = ConnectionCommon<F>>,
    to: &mut impl DerefMut<Target = ConnectionCommon<T>>,
) -> Result<(), Error> {
    let mut wire = Vec::new();
    from.write_tls(&mut wire).unwrap();
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(())
}

/// Of a proxy that is in no mesh.
pub(crate) fn nobody() -> Standing {
    Standing::new(State::Absent, Introduction::default())
}

/// Where names are told that nobody hears.
pub(crate) fn unheard() -> Arc<Demands> {
    Demands::channel().0
}

/// Where spans are told that nobody hears.
pub(crate) fn untold(metrics: &Metrics) -> Spans {
    Spans::channel(metrics).0
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((LOCAL, 0)).unwrap().local_addr().unwrap().port()
}
