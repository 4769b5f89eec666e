// SPDX-License-Identifier: Apache-2.0
//! Extension providers of the mesh: who is asked or told, and where that is. One that cannot be used is the fault of
//! whoever names it, so each says why. Never looks at a policy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use torana_crds::istio::extension_provider::{
    ExtensionProvider, GrpcAuthorizer, HttpAuthorizer, OpenTelemetry, OtlpField, RequestBody,
};
use torana_crds::{Kind, ObjectRef};
use torana_ir::{
    AuthProtocol, BackendKey, Collector, CollectorProtocol, ExternalAuth, HeaderName, HeaderValue, MOST_AUTH_BODY,
    NamePattern, OnError, PathRewrite, Provider, ProviderKey, Purpose, Target,
};

use crate::mesh;
use crate::store::Cluster;
use crate::translate::istio::service_at;
use crate::translate::ledger::Ledger;

/// So long an authorization server is waited for where nobody says how long, as with Istio.
const PATIENCE: Duration = Duration::from_mins(10);
/// So long a collector is.
const TELLING: Duration = Duration::from_secs(10);
/// Where spans are posted, where nobody says so.
const TRACES: &str = "/v1/traces";

type Read<T> = Result<T, String>;

/// Those of a cluster that policies name, as they are asked for.
#[derive(Debug)]
pub(super) struct Providers<'c> {
    cluster: &'c Cluster,
    known: BTreeMap<ProviderKey, Read<Provider>>,
    ledger: Ledger,
}

impl<'c> Providers<'c> {
    /// Of which none was asked for yet.
    pub(super) fn new(cluster: &'c Cluster) -> Self {
        let ledger = Ledger::new(ObjectRef::new(Kind::ConfigMap, mesh::NAMESPACE, "istio"));
        Self { cluster, known: BTreeMap::new(), ledger }
    }

    /// The authorization server of that name.
    ///
    /// # Errors
    /// Why nobody can be asked.
    pub(super) fn authorizer(&mut self, name: &str) -> Read<&ExternalAuth> {
        match &self.find(name)?.purpose {
            Purpose::Authorizer(auth) => Ok(auth),
            Purpose::Collector(_) => Err(format!("extension provider {name} is told of spans, and not asked")),
        }
    }

    /// The collector of that name.
    ///
    /// # Errors
    /// Why nobody can be told.
    pub(super) fn collector(&mut self, name: &str) -> Read<ProviderKey> {
        let provider = self.find(name)?;
        match &provider.purpose {
            Purpose::Collector(_) => Ok(provider.key.clone()),
            Purpose::Authorizer(_) => Err(format!("extension provider {name} is asked, and not told of spans")),
        }
    }

    /// Those of these names, and the objects whose change may change what was found.
    pub(super) fn chosen(
        mut self,
        names: impl IntoIterator<Item = ProviderKey>,
    ) -> (BTreeMap<ProviderKey, Provider>, BTreeSet<ObjectRef>) {
        let chosen = names.into_iter().filter_map(|key| Some((key.clone(), self.known.remove(&key)?.ok()?)));
        (chosen.collect(), self.ledger.needs)
    }

    fn find(&mut self, name: &str) -> Read<&Provider> {
        let key = ProviderKey(name.to_owned());
        let known = self.known.remove(&key);
        let read = || self.read(name).map(|purpose| Provider { key: key.clone(), purpose });
        let known = known.unwrap_or_else(read);
        self.known.entry(key).or_insert(known).as_ref().map_err(Clone::clone)
    }

    fn read(&mut self, name: &str) -> Read<Purpose> {
        let all = &self.cluster.mesh().config().extension_providers;
        let mut named = all.iter().filter(|provider| provider.name == name);
        let Some(provider) = named.next() else {
            let known: Vec<_> = all.iter().map(|provider| provider.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(format!("there is no extension provider {name:?} in MeshConfig (there is {known})"));
        };
        let wrong = |why: String| format!("extension provider {name:?} of MeshConfig {why}");
        if named.next().is_some() {
            return Err(wrong("is there twice".to_owned()));
        }
        if !is_label(name) {
            return Err(wrong("has a name of other than lower case letters, digits and hyphens".to_owned()));
        }
        self.purpose(provider).map_err(wrong)
    }

    fn purpose(&mut self, provider: &ExtensionProvider) -> Read<Purpose> {
        if let Some(http) = &provider.envoy_ext_authz_http {
            return Ok(Purpose::Authorizer(self.http(http)?));
        }
        if let Some(grpc) = &provider.envoy_ext_authz_grpc {
            return Ok(Purpose::Authorizer(self.grpc(grpc)?));
        }
        if let Some(collector) = &provider.opentelemetry {
            return Ok(Purpose::Collector(self.opentelemetry(collector)?));
        }
        Err(match provider.others() {
            Some(kind) => format!("is of kind {kind}, which is neither asked nor told anything"),
            None => "says nowhere what it is".to_owned(),
        })
    }

    fn http(&mut self, http: &HttpAuthorizer) -> Read<ExternalAuth> {
        if !http.path_prefix.is_empty() && !http.path_prefix.starts_with('/') {
            return Err(format!("has a pathPrefix, {:?}, that begins without /", http.path_prefix));
        }
        let prefix = PathRewrite::Text(http.path_prefix.clone()).checked();
        let prefix =
            prefix.ok_or_else(|| format!("has a pathPrefix that cannot stand in a path: {:?}", http.path_prefix))?;
        let shown = match http.include_request_headers_in_check.as_slice() {
            [] => patterns("includeHeadersInCheck", &http.include_headers_in_check)?,
            written => patterns("includeRequestHeadersInCheck", written)?,
        };
        let refused = patterns("headersToDownstreamOnDeny", &http.headers_to_downstream_on_deny)?;
        let added = http.include_additional_headers_in_check.iter().map(|(name, value)| field(name, value));
        let protocol = AuthProtocol::Http {
            prefix,
            headers: shown,
            copied: Some(patterns("headersToUpstreamOnAllow", &http.headers_to_upstream_on_allow)?),
            added: added.collect::<Read<_>>()?,
            shown: patterns("headersToDownstreamOnAllow", &http.headers_to_downstream_on_allow)?,
            refused: Some(refused).filter(|refused| !refused.is_empty()),
        };
        let target = Target::Backend(self.place(&http.service, http.port)?);
        let body = body(http.include_request_body_in_check)?;
        Ok(ExternalAuth {
            target,
            protocol,
            body: body.max_request_bytes,
            takes_part: body.allow_partial_message,
            as_bytes: body.pack_as_bytes,
            timeout: patience(http.timeout, PATIENCE)?,
            on_error: on_error(http.fail_open, http.status_on_error.as_deref())?,
            routes_anew: http.clear_route_cache,
        })
    }

    fn grpc(&mut self, grpc: &GrpcAuthorizer) -> Read<ExternalAuth> {
        let target = Target::Backend(self.place(&grpc.service, grpc.port)?);
        let body = body(grpc.include_request_body_in_check)?;
        Ok(ExternalAuth {
            target,
            protocol: AuthProtocol::Grpc { headers: None },
            body: body.max_request_bytes,
            takes_part: body.allow_partial_message,
            as_bytes: body.pack_as_bytes,
            timeout: patience(grpc.timeout, PATIENCE)?,
            on_error: on_error(grpc.fail_open, grpc.status_on_error.as_deref())?,
            routes_anew: grpc.clear_route_cache,
        })
    }

    fn opentelemetry(&mut self, collector: &OpenTelemetry) -> Read<Collector> {
        let (protocol, timeout, fields) = match (&collector.http, &collector.grpc) {
            (Some(_), Some(_)) => return Err("speaks both http and grpc".to_owned()),
            (Some(http), None) => {
                let path = if http.path.is_empty() { TRACES } else { &http.path };
                if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(format!("has an http.path that is none: {path:?}"));
                }
                (CollectorProtocol::Http { path: path.to_owned() }, http.timeout, http.headers.as_slice())
            }
            (None, grpc) => {
                let said = grpc.as_ref().map(|grpc| (grpc.timeout, grpc.initial_metadata.as_slice()));
                let (timeout, fields) = said.unwrap_or_default();
                (CollectorProtocol::Grpc, timeout, fields)
            }
        };
        let headers = otlp_fields(fields)?;
        let target = Target::Backend(self.place(&collector.service, collector.port)?);
        let host = collector.service.rsplit('/').next().unwrap_or_default();
        let authority = format!("{host}:{}", collector.port);
        Ok(Collector { target, protocol, authority, headers, timeout: patience(timeout, TELLING)? })
    }

    /// `host`, or `namespace/host`, with a port.
    fn place(&mut self, service: &str, port: u32) -> Read<BackendKey> {
        let port = u16::try_from(port).ok().filter(|port| *port > 0);
        let port = port.ok_or_else(|| "has no port from 1 to 65535".to_owned())?;
        let (namespace, host) = match service.split_once('/') {
            Some((namespace, host)) => (Some(namespace), host),
            None => (None, service),
        };
        if host.is_empty() {
            return Err("names no service".to_owned());
        }
        service_at(self.cluster, (&host.to_ascii_lowercase(), namespace), port, &mut self.ledger)
            .map_err(|why| format!("leads nowhere: {why}"))
    }
}

/// RFC 1123 §2.1, in lower case.
fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('-') && !name.ends_with('-')
}

fn patience(written: Option<Duration>, usual: Duration) -> Read<Duration> {
    match written {
        Some(Duration::ZERO) => Err("has a timeout of 0, so nobody could answer".to_owned()),
        written => Ok(written.unwrap_or(usual)),
    }
}

fn on_error(opens: bool, status: Option<&str>) -> Read<OnError> {
    let Some(status) = status else { return Ok(if opens { OnError::Allow } else { OnError::default() }) };
    let read = status.parse().ok().filter(|status| (200..600).contains(status));
    let read = read.ok_or_else(|| format!("has a statusOnError that is none: {status:?}"))?;
    Ok(if opens { OnError::Allow } else { OnError::Refuse(read) })
}

fn body(written: Option<RequestBody>) -> Read<RequestBody> {
    match written {
        None => Ok(RequestBody::default()),
        Some(RequestBody { max_request_bytes: 0, .. }) => {
            Err("has an includeRequestBodyInCheck without maxRequestBytes".to_owned())
        }
        Some(body) if body.max_request_bytes > MOST_AUTH_BODY => {
            Err(format!("wants more bytes of bodies than the {MOST_AUTH_BODY} that are kept"))
        }
        Some(body) => Ok(body),
    }
}

fn patterns(at: &str, written: &[String]) -> Read<Vec<NamePattern>> {
    let read = |text: &String| {
        NamePattern::new(text).map_err(|_| {
            format!("has an entry of {at} that is no name of a field, and none with * at one end: {text:?}")
        })
    };
    written.iter().map(read).collect()
}

/// `%` begins a variable of Envoy's, and `%%` is one.
fn field(name: &str, value: &str) -> Read<(HeaderName, HeaderValue)> {
    let literal = value.replace("%%", "");
    if literal.contains('%') {
        return Err(format!("wants {name} with variables, {value:?}, of which there are none here"));
    }
    let (name, value) = (HeaderName::new(name), HeaderValue::new(&value.replace("%%", "%")));
    name.and_then(|name| Ok((name, value?))).map_err(|error| format!("has a header that is none: {error}"))
}

fn otlp_fields(written: &[OtlpField]) -> Read<Vec<(HeaderName, HeaderValue)>> {
    let read = |it: &OtlpField| match (&it.value, &it.env_name) {
        (_, Some(_)) => Err(format!("takes {} from the environment, which proxies do not have", it.name)),
        (value, None) => field(&it.name, value.as_deref().unwrap_or_default()),
    };
    written.iter().map(read).collect()
}

#[cfg(test)]
mod tests;
