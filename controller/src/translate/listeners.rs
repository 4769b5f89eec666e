// SPDX-License-Identifier: Apache-2.0
//! One listener by itself: protocol, hostname, kinds, namespaces, and what of it this version does not do. What the
//! spec asks for and cannot be done yet closes the listener: serving without it would be worse.
//!
//! Never compares two listeners and reads no certificate; what is asked of clients its Gateway says.

use torana_crds::gateway::{Listener, ProtocolType, RouteGroupKind, TlsMode};
use torana_crds::{GATEWAY_GROUP, ObjectRef};
use torana_ir::{CertificateKey, ClientValidation, HostPattern, ListenerKey, Transport};

use crate::report::Remark;
use crate::report::conditions::listener::{
    INVALID_CERTIFICATE_REF, INVALID_ROUTE_KINDS, UNSUPPORTED_PROTOCOL, UNSUPPORTED_VALUE,
};
use crate::store::Cluster;
use crate::translate::allowed::{Namespaces, kinds_of};

/// A listener on its way into the program.
#[derive(Debug)]
pub(super) struct ListenerDraft<'a> {
    /// Who it will be.
    pub(super) key: ListenerKey,
    /// The Gateway or ListenerSet that has it.
    pub(super) owner: ObjectRef,
    /// As written.
    pub(super) spec: &'a Listener,
    /// `spec.listeners[0]`.
    pub(super) path: String,
    /// Hosts that belong to it; `None` if what is written is no hostname.
    pub(super) hostname: Option<HostPattern>,
    /// Kinds of routes that may attach.
    pub(super) kinds: Vec<RouteGroupKind>,
    /// Namespaces of routes that may attach.
    pub(super) namespaces: Namespaces,
    /// Why it is not accepted.
    pub(super) refused: Option<Remark>,
    /// With which other listener it cannot be told apart.
    pub(super) conflict: Option<Remark>,
    /// References that are not good.
    pub(super) unresolved: Vec<Remark>,
    /// Why it has no certificate yet, and shows one that is none.
    pub(super) pending: Option<String>,
    /// Why it cannot be served though it is accepted.
    pub(super) unservable: Option<String>,
    /// What else there is to say.
    pub(super) remarks: Vec<Remark>,
    /// Certificates that it serves.
    pub(super) certificates: Vec<CertificateKey>,
    /// Others are obtained when clients ask for their names.
    pub(super) on_demand: bool,
    /// What it asks of clients.
    pub(super) client: Option<ClientValidation>,
}

/// What carries a protocol.
pub fn transport(protocol: &ProtocolType) -> Transport {
    if *protocol == ProtocolType::Udp { Transport::Udp } else { Transport::Tcp }
}

impl<'a> ListenerDraft<'a> {
    /// Judges one listener of `owner`.
    pub(super) fn new(
        cluster: &Cluster,
        owner: &ObjectRef,
        (key, path): (ListenerKey, String),
        spec: &'a Listener,
    ) -> Self {
        let mut draft = Self {
            key,
            owner: owner.clone(),
            spec,
            path,
            hostname: Some(HostPattern::Any),
            kinds: Vec::new(),
            namespaces: Namespaces::None,
            refused: None,
            conflict: None,
            unresolved: Vec::new(),
            pending: None,
            unservable: None,
            remarks: Vec::new(),
            certificates: Vec::new(),
            on_demand: false,
            client: None,
        };
        draft.protocol();
        draft.host();
        draft.admission(cluster);
        draft.tls();
        draft.filters();
        draft
    }

    /// Whether it is accepted, as far as is known by now.
    pub(super) fn is_accepted(&self) -> bool {
        self.refused.is_none() && self.conflict.is_none()
    }

    /// Whether it speaks HTTPS.
    pub(super) fn is_https(&self) -> bool {
        self.spec.protocol == ProtocolType::Https
    }

    /// Whether TLS ends at it.
    pub(super) fn terminates(&self) -> bool {
        let mode = self.spec.tls.as_ref().map(|tls| &tls.mode);
        self.is_https() || (self.spec.protocol == ProtocolType::Tls && mode == Some(&TlsMode::Terminate))
    }

    /// What carries it.
    pub(super) fn transport(&self) -> Transport {
        transport(&self.spec.protocol)
    }

    /// Refuses it, if nothing did before.
    pub(super) fn refuse(&mut self, remark: Remark) {
        self.refused.get_or_insert(remark);
    }

    fn at(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }

    fn protocol(&mut self) {
        let ProtocolType::Other(other) = &self.spec.protocol else { return };
        let (path, why) = (self.at("protocol"), format!("protocol {other:?} is not known"));
        self.refuse(Remark::error(UNSUPPORTED_PROTOCOL, &path, why, "use HTTP, HTTPS, TLS, TCP or UDP"));
    }

    fn host(&mut self) {
        let Some(text) = self.spec.hostname.as_deref().filter(|text| !text.is_empty()) else { return };
        if let protocol @ (ProtocolType::Tcp | ProtocolType::Udp) = &self.spec.protocol {
            let message = format!("nothing of {} names a host, so the hostname has no effect", protocol.as_str());
            self.remarks.push(Remark::warning(UNSUPPORTED_VALUE, &self.at("hostname"), message, "remove it"));
            return;
        }
        match HostPattern::parse(text) {
            Some(pattern) if pattern != HostPattern::Any && !is_address(text) => self.hostname = Some(pattern),
            _ => {
                self.hostname = None;
                let (path, why) = (self.at("hostname"), format!("{text:?} is not a hostname"));
                self.refuse(Remark::error(
                    UNSUPPORTED_VALUE,
                    &path,
                    why,
                    "write a DNS name or *.name, or leave it out",
                ));
            }
        }
    }

    fn admission(&mut self, cluster: &Cluster) {
        let allowed = &self.spec.allowed_routes;
        let (from, selector) = (&allowed.namespaces.from, allowed.namespaces.selector.as_ref());
        match Namespaces::resolve(cluster, &self.owner.namespace, from, selector) {
            Ok(namespaces) => self.namespaces = namespaces,
            Err(why) => {
                let path = self.at("allowedRoutes.namespaces");
                let message = format!("{why}; no route may attach");
                self.remarks.push(Remark::error(UNSUPPORTED_VALUE, &path, message, "correct the selection"));
            }
        }
        let fitting = kinds_of(&self.spec.protocol);
        if allowed.kinds.is_empty() || fitting.is_empty() {
            self.kinds = fitting;
            return;
        }
        for (index, kind) in allowed.kinds.iter().enumerate() {
            if fitting.contains(kind) {
                self.kinds.push(kind.clone());
            } else {
                let path = self.at(&format!("allowedRoutes.kinds[{index}]"));
                let (what, protocol) = (shown(kind), self.spec.protocol.as_str());
                let message = format!("{what} cannot attach to a listener of protocol {protocol}");
                let kinds: Vec<_> = fitting.iter().map(|kind| kind.kind.as_str()).collect();
                let remedy = format!("use {}", kinds.join(" or "));
                self.unresolved.push(Remark::error(INVALID_ROUTE_KINDS, &path, message, remedy));
            }
        }
        if self.kinds.is_empty() {
            self.unservable = Some("none of allowedRoutes.kinds can attach".to_owned());
        }
    }

    fn tls(&mut self) {
        self.tls_mode();
        let (name, tls) = (self.spec.protocol.as_str(), self.spec.tls.as_ref());
        if !self.begins_with_tls() {
            return;
        }
        for option in tls.into_iter().flat_map(|tls| tls.options.keys()) {
            let path = self.at(&format!("tls.options[{option:?}]"));
            self.remarks.push(Remark::warning(
                UNSUPPORTED_VALUE,
                &path,
                "TLS option is not known and has no effect",
                "remove it",
            ));
        }
        let (path, has_certificates) =
            (self.at("tls.certificateRefs"), tls.is_some_and(|tls| !tls.certificate_refs.is_empty()));
        if self.terminates() && !has_certificates {
            let message = format!("a listener of protocol {name} needs a certificate");
            let remedy = "refer to a Secret of type kubernetes.io/tls";
            self.unresolved.push(Remark::error(INVALID_CERTIFICATE_REF, &path, message, remedy));
        }
        if !self.terminates() && has_certificates {
            let message = "TLS passes through, so certificates have no effect here";
            self.remarks.push(Remark::note(UNSUPPORTED_VALUE, &path, message, ""));
        }
    }

    fn begins_with_tls(&self) -> bool {
        matches!(self.spec.protocol, ProtocolType::Https | ProtocolType::Tls)
    }

    /// Whether protocol and `tls.mode` go together.
    fn tls_mode(&mut self) {
        let name = self.spec.protocol.as_str();
        let (field, why, remedy) = match (&self.spec.protocol, self.spec.tls.as_ref().map(|tls| &tls.mode)) {
            (ProtocolType::Https, None | Some(TlsMode::Terminate))
            | (ProtocolType::Tls, Some(TlsMode::Terminate | TlsMode::Passthrough))
            | (ProtocolType::Http | ProtocolType::Tcp | ProtocolType::Udp, None)
            | (ProtocolType::Other(_), _) => return,
            (ProtocolType::Https, Some(mode)) => {
                let why = format!("a listener of protocol HTTPS cannot have tls.mode {}", shown_mode(mode));
                ("tls.mode", why, "use mode Terminate")
            }
            (ProtocolType::Tls, None) => {
                ("tls", "a listener of protocol TLS needs tls.mode".to_owned(), "write mode Terminate or Passthrough")
            }
            (ProtocolType::Tls, Some(mode)) => {
                let why = format!("tls.mode {:?} is not known", shown_mode(mode));
                ("tls.mode", why, "write mode Terminate or Passthrough")
            }
            (ProtocolType::Http, Some(_)) => {
                ("tls", format!("a listener of protocol {name} has no TLS"), "remove tls or use protocol HTTPS")
            }
            (ProtocolType::Tcp | ProtocolType::Udp, Some(_)) => {
                ("tls", format!("a listener of protocol {name} has no TLS"), "remove tls or use protocol TLS")
            }
        };
        self.refuse(Remark::error(UNSUPPORTED_VALUE, &self.at(field), why, remedy));
    }

    /// Fails closed: without the filters that are asked for, requests would get what they should not.
    fn filters(&mut self) {
        let filters = self.spec.filters.as_ref().is_some_and(|filters| !filters.requests.is_empty());
        if filters {
            let why = "filters of a listener are not supported yet, so it is not served";
            self.refuse(Remark::error(UNSUPPORTED_VALUE, &self.at("filters"), why, "use filters of routes"));
        }
    }
}

/// The spec allows no IP addresses where it says hostname.
pub(super) fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

fn shown(kind: &RouteGroupKind) -> String {
    if kind.group == GATEWAY_GROUP { kind.kind.clone() } else { format!("{} of group {:?}", kind.kind, kind.group) }
}

fn shown_mode(mode: &TlsMode) -> &str {
    match mode {
        TlsMode::Terminate => "Terminate",
        TlsMode::Passthrough => "Passthrough",
        TlsMode::Other(other) => other,
    }
}
