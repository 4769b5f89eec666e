// SPDX-License-Identifier: Apache-2.0
//! What a policy of Istio says of requests, spelled out: wildcards as what a text must be, short names of service accounts
//! with their namespaces, trust domains with their aliases. Follows what istiod makes of each field for Envoy.
//!
//! Never asks whom the policy is for. What Istio would refuse is for nobody: see [`deny_all`].

use ipnet::IpNet;
use torana_crds::ObjectMeta;
use torana_crds::istio::MeshConfig;
use torana_crds::istio::authorization_policy::{
    AuthorizationPolicy, Condition as When, Operation, PolicyAction, Rule, Source,
};
use torana_ir::{
    AccessAction, AccessPolicy, AccessRule, Condition, HeaderName, PolicyKey, ProviderKey, Regex, SubjectTest, Terms,
    TextTest,
};

/// What principals begin with where they are compared (SPIFFE-ID §2).
const SPIFFE: &str = "spiffe://";
/// The local trust domain, whatever it is called.
const LOCAL: &str = "cluster.local";
/// What a segment of a path may be of (RFC 3986 §3.3), as Envoy's templates have it.
const SEGMENT: &str = "[a-zA-Z0-9._~%!$&'()+,;:@=-]+";
/// The same with slashes, or nothing.
const REST: &str = "[a-zA-Z0-9._~%!$&'()+,;:@=/-]*";

/// Fields that say how a message is carried: none of them is there when policies are asked.
const CONSUMED: [&str; 7] =
    ["connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "transfer-encoding"];

/// What cannot be spelled out: the field and why.
pub(super) type Unclear = (String, String);

type Read<T> = Result<T, Unclear>;

/// Whose the terms of a policy are.
struct Scene<'s> {
    /// The local trust domain and its aliases.
    domains: Vec<String>,
    /// The policy's namespace.
    namespace: &'s str,
    /// What its rules take is denied.
    denies: bool,
}

/// The key of a policy.
pub(super) fn key(meta: &ObjectMeta) -> PolicyKey {
    PolicyKey { namespace: meta.namespace.clone(), name: meta.name.clone() }
}

/// A policy that lets nobody through.
pub(super) fn deny_all(key: PolicyKey) -> AccessPolicy {
    AccessPolicy { key, action: AccessAction::Deny, dry_run: false, rules: vec![AccessRule::default()] }
}

/// What a policy says. Whether there is such a provider is not looked at.
pub(super) fn spelled_out(mesh: &MeshConfig, policy: &AuthorizationPolicy) -> Read<AccessPolicy> {
    let denies = policy.spec.action == PolicyAction::Deny;
    let scene = Scene { domains: mesh.trust_domains().collect(), namespace: &policy.meta.namespace, denies };
    let action = match policy.spec.action {
        PolicyAction::Allow => AccessAction::Allow,
        PolicyAction::Deny => AccessAction::Deny,
        PolicyAction::Audit => AccessAction::Audit,
        PolicyAction::Custom => AccessAction::Ask(provider_of(policy)),
    };
    let rules = policy.spec.rules.iter().enumerate().map(|(place, rule)| scene.rule(place, rule));
    Ok(AccessPolicy {
        key: key(&policy.meta),
        action,
        dry_run: policy.is_dry_run(),
        rules: rules.collect::<Read<_>>()?,
    })
}

/// Who is asked.
pub(super) fn provider_of(policy: &AuthorizationPolicy) -> ProviderKey {
    ProviderKey(policy.spec.provider.as_ref().map(|it| it.name.clone()).unwrap_or_default())
}

impl Scene<'_> {
    fn rule(&self, place: usize, rule: &Rule) -> Read<AccessRule> {
        let at = format!("spec.rules[{place}]");
        let from = rule.from.iter().enumerate();
        let from = from.map(|(number, from)| self.source(&format!("{at}.from[{number}].source"), &from.source));
        let to = rule.to.iter().enumerate();
        let to = to.map(|(number, to)| operation(&format!("{at}.to[{number}].operation"), &to.operation));
        let when = rule.when.iter().enumerate();
        let when = when.map(|(number, when)| self.when(&format!("{at}.when[{number}]"), when));
        Ok(AccessRule {
            place: u16::try_from(place).unwrap_or(u16::MAX),
            from: from.collect::<Read<_>>()?,
            to: to.collect::<Read<_>>()?,
            when: when.collect::<Read<_>>()?,
        })
    }

    fn source(&self, at: &str, source: &Source) -> Read<Vec<Condition>> {
        let Source { principals, not_principals, namespaces, not_namespaces, .. } = source;
        let mut all = Vec::new();
        let field = |name: &str| format!("{at}.{name}");
        let mut add = |values: &[String], nots: &[String], make: &dyn Fn() -> Read<Condition>| {
            if !values.is_empty() || !nots.is_empty() {
                all.push(make()?);
            }
            Ok::<_, Unclear>(())
        };
        add(principals, not_principals, &|| self.principals(&field("principals"), principals, not_principals))?;
        let Source { request_principals: values, not_request_principals: nots, .. } = source;
        add(values, nots, &|| Ok(subjects(values, nots)))?;
        let Source { service_accounts: values, not_service_accounts: nots, .. } = source;
        add(values, nots, &|| self.accounts(&field("serviceAccounts"), values, nots))?;
        let Source { trust_domains: values, not_trust_domains: nots, .. } = source;
        add(values, nots, &|| self.trust_domains(&field("trustDomains"), values, nots))?;
        add(namespaces, not_namespaces, &|| of_namespaces(&field("namespaces"), namespaces, not_namespaces))?;
        let Source { remote_ip_blocks: values, not_remote_ip_blocks: nots, .. } = source;
        add(values, nots, &|| Ok(Condition::Client(networks(&field("remoteIpBlocks"), values, nots)?)))?;
        let Source { ip_blocks: values, not_ip_blocks: nots, .. } = source;
        add(values, nots, &|| Ok(Condition::Peer(networks(&field("ipBlocks"), values, nots)?)))?;
        Ok(all)
    }

    fn when(&self, at: &str, when: &When) -> Read<Condition> {
        let When { key, values, not_values } = when;
        let bracketed = |prefix: &str| key.strip_prefix(prefix).filter(|rest| rest.starts_with('['));
        Ok(match key.as_str() {
            "source.ip" => Condition::Peer(networks(at, values, not_values)?),
            "remote.ip" => Condition::Client(networks(at, values, not_values)?),
            "source.namespace" => of_namespaces(at, values, not_values)?,
            "source.principal" => self.principals(at, values, not_values)?,
            "source.serviceAccount" => self.accounts(at, values, not_values)?,
            "source.trustDomain" => self.trust_domains(at, values, not_values)?,
            "request.auth.principal" => subjects(values, not_values),
            "request.auth.audiences" => Condition::Claim(vec!["aud".to_owned()], texts(values, not_values)),
            "request.auth.presenter" => Condition::Claim(vec!["azp".to_owned()], texts(values, not_values)),
            "destination.ip" => Condition::Local(networks(at, values, not_values)?),
            "destination.port" => Condition::Port(ports(at, values, not_values)?),
            "connection.sni" => Condition::ServerName(texts(values, not_values)),
            _ => {
                if let Some(claims) = bracketed("request.auth.claims") {
                    Condition::Claim(nested(claims), texts(values, not_values))
                } else if let Some(field) = bracketed("request.headers") {
                    header(at, field, texts(values, not_values))?
                } else if key.starts_with("experimental.envoy.filters.") {
                    // What nobody sets would be denied to nobody, or be no reason to refuse.
                    if self.denies || values.is_empty() {
                        return Err((
                            format!("{at}.key"),
                            format!("{key:?} is set by filters of Envoy, which are not here"),
                        ));
                    }
                    Condition::Unknown(texts(values, not_values))
                } else {
                    return Err((format!("{at}.key"), format!("{key:?} is not known here")));
                }
            }
        })
    }

    /// Of the trust domain and its aliases each counts as the others.
    fn principals(&self, at: &str, values: &[String], nots: &[String]) -> Read<Condition> {
        let tests = |all: &[String]| {
            let spelled = all.iter().flat_map(|principal| self.replaced(principal));
            spelled.map(|principal| principal_test(at, &principal)).collect::<Read<Vec<_>>>()
        };
        Ok(Condition::Identity(Terms { any: tests(values)?, none: tests(nots)? }))
    }

    fn replaced(&self, principal: &str) -> Vec<String> {
        let parts: Vec<_> = principal.split('/').collect();
        let [domain, rest @ ..] = parts.as_slice() else { return vec![principal.to_owned()] };
        let is_known = self.domains.iter().any(|known| covers(domain, known)) || *domain == LOCAL;
        if parts.len() != 5 || *domain == "*" || !is_known {
            return vec![principal.to_owned()];
        }
        let mut all = Vec::new();
        for known in &self.domains {
            let is_kept = domain.strip_prefix('*').is_some_and(|suffix| known.ends_with(suffix));
            let next = if is_kept { principal.to_owned() } else { format!("{known}/{}", rest.join("/")) };
            if !all.contains(&next) {
                all.push(next);
            }
        }
        all
    }

    fn accounts(&self, at: &str, values: &[String], nots: &[String]) -> Read<Condition> {
        let test = |account: &String| {
            let (namespace, name) = account.split_once('/').unwrap_or((self.namespace, account));
            let (namespace, name) = (regex::escape(namespace), regex::escape(name));
            expression(at, &format!("spiffe://.+/ns/{namespace}/(.+/|)sa/{name}(/.+)?"))
        };
        Ok(Condition::Identity(each(values, nots, test)?))
    }

    fn trust_domains(&self, at: &str, values: &[String], nots: &[String]) -> Read<Condition> {
        let spelled = |all: &[String]| {
            let of = |domain: &String| {
                if self.domains.contains(domain) { self.domains.clone() } else { vec![domain.clone()] }
            };
            all.iter().flat_map(of).collect::<Vec<_>>()
        };
        let test = |domain: &String| match domain.split_once('*') {
            _ if domain == "*" => Ok(TextTest::Prefix(SPIFFE.to_owned())),
            None => Ok(TextTest::Prefix(format!("{SPIFFE}{domain}/"))),
            Some((before, after)) => {
                expression(at, &format!("{SPIFFE}{}[^/]*{}/.*", regex::escape(before), regex::escape(after)))
            }
        };
        Ok(Condition::Identity(each(&spelled(values), &spelled(nots), test)?))
    }
}

fn operation(at: &str, operation: &Operation) -> Read<Vec<Condition>> {
    let Operation { hosts, not_hosts, methods, not_methods, paths, not_paths, ports: numbers, not_ports } = operation;
    let is_said = |values: &[String], nots: &[String]| !values.is_empty() || !nots.is_empty();
    let lower = |all: &[String]| all.iter().map(|host| host.to_ascii_lowercase()).collect::<Vec<_>>();
    let mut all = Vec::new();
    if is_said(hosts, not_hosts) {
        all.push(Condition::Host(texts(&lower(hosts), &lower(not_hosts))));
    }
    if is_said(methods, not_methods) {
        all.push(Condition::Method(texts(methods, not_methods)));
    }
    if is_said(paths, not_paths) {
        let test = |path: &String| path_test(&format!("{at}.paths"), path);
        all.push(Condition::Path(each(paths, not_paths, test)?));
    }
    if is_said(numbers, not_ports) {
        all.push(Condition::Port(ports(&format!("{at}.ports"), numbers, not_ports)?));
    }
    Ok(all)
}

/// Whether a trust domain of a principal, which may begin or end with `*`, is this one.
fn covers(written: &str, known: &str) -> bool {
    written == known
        || written.strip_prefix('*').is_some_and(|suffix| known.ends_with(suffix))
        || written.strip_suffix('*').is_some_and(|prefix| known.starts_with(prefix))
}

fn each<T, U>(values: &[T], nots: &[T], test: impl Fn(&T) -> Read<U>) -> Read<Terms<U>> {
    let any = values.iter().map(&test).collect::<Read<_>>()?;
    Ok(Terms { any, none: nots.iter().map(test).collect::<Read<_>>()? })
}

fn texts(values: &[String], nots: &[String]) -> Terms<TextTest> {
    let all = |texts: &[String]| texts.iter().map(|text| text_test(text)).collect();
    Terms { any: all(values), none: all(nots) }
}

/// `*` is presence, `*x` a suffix, `x*` a prefix.
fn text_test(text: &str) -> TextTest {
    match (text, text.strip_prefix('*'), text.strip_suffix('*')) {
        ("*", ..) => TextTest::Present,
        (_, Some(suffix), _) => TextTest::Suffix(suffix.to_owned()),
        (_, _, Some(prefix)) => TextTest::Prefix(prefix.to_owned()),
        _ => TextTest::Exact(text.to_owned()),
    }
}

fn expression(at: &str, pattern: &str) -> Read<TextTest> {
    Regex::new(pattern).map(TextTest::Regex).map_err(|error| (at.to_owned(), error.to_string()))
}

fn principal_test(at: &str, principal: &str) -> Read<TextTest> {
    match text_test(principal) {
        TextTest::Suffix(suffix) => expression(at, &format!("{SPIFFE}.*{}", regex::escape(&suffix))),
        TextTest::Prefix(prefix) => Ok(TextTest::Prefix(format!("{SPIFFE}{prefix}"))),
        TextTest::Exact(exact) => Ok(TextTest::Exact(format!("{SPIFFE}{exact}"))),
        other => Ok(other),
    }
}

fn of_namespaces(at: &str, values: &[String], nots: &[String]) -> Read<Condition> {
    let test = |namespace: &String| {
        let parts: Vec<_> = namespace.split('*').map(regex::escape).collect();
        expression(at, &format!(".*/ns/{}/.*", parts.join(".*")))
    };
    Ok(Condition::Identity(each(values, nots, test)?))
}

/// `{*}` is a segment, `{**}` whatever follows.
fn path_test(at: &str, path: &str) -> Read<TextTest> {
    if !path.contains("{*}") && !path.contains("{**}") {
        return Ok(text_test(path));
    }
    let escaped = regex::escape(path);
    let (one, rest) = (regex::escape("{*}"), regex::escape("{**}"));
    expression(at, &escaped.replace(&rest, REST).replace(&one, SEGMENT))
}

fn networks(at: &str, values: &[String], nots: &[String]) -> Read<Terms<IpNet>> {
    each(values, nots, |text| {
        let single = text.parse().map(|address: std::net::IpAddr| IpNet::from(address));
        single.or_else(|_| text.parse()).map_err(|_| (at.to_owned(), format!("{text:?} is no address and no network")))
    })
}

fn ports(at: &str, values: &[String], nots: &[String]) -> Read<Terms<u16>> {
    each(values, nots, |text| text.parse().map_err(|_| (at.to_owned(), format!("{text:?} is no port"))))
}

/// `iss/sub`; an issuer may have slashes of its own.
fn subjects(values: &[String], nots: &[String]) -> Condition {
    let all = |all: &[String]| all.iter().map(|value| subject_test(value)).collect();
    Condition::Subject(Terms { any: all(values), none: all(nots) })
}

fn subject_test(value: &str) -> SubjectTest {
    let exact = |text: &str| TextTest::Exact(text.to_owned());
    let (issuer, subject) = match value.rsplit_once('/') {
        _ if value == "*" => (TextTest::Present, TextTest::Present),
        Some((issuer, subject)) if value.starts_with('*') => (text_test(issuer), exact(subject)),
        Some((issuer, subject)) if value.ends_with('*') => (exact(issuer), text_test(subject)),
        Some((issuer, subject)) => (exact(issuer), exact(subject)),
        None if value.starts_with('*') => (TextTest::Present, text_test(value)),
        None if value.ends_with('*') => (text_test(value), TextTest::Present),
        None => (exact(value), exact("")),
    };
    SubjectTest { issuer, subject }
}

/// `[a][b]` as its names; where brackets do not pair, all within the outer two is one name.
fn nested(text: &str) -> Vec<String> {
    let whole = || vec![text.trim_start_matches('[').trim_end_matches(']').to_owned()];
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(inside) = rest.strip_prefix('[') {
        match inside.split_once(']') {
            Some((name, after)) if !name.contains('[') => {
                names.push(name.to_owned());
                rest = after;
            }
            _ => return whole(),
        }
    }
    if rest.is_empty() { names } else { whole() }
}

fn lower(terms: Terms<TextTest>) -> Terms<TextTest> {
    let each = |tests: Vec<TextTest>| tests.into_iter().map(lowered).collect();
    Terms { any: each(terms.any), none: each(terms.none) }
}

fn lowered(test: TextTest) -> TextTest {
    match test {
        TextTest::Exact(text) => TextTest::Exact(text.to_ascii_lowercase()),
        TextTest::Prefix(text) => TextTest::Prefix(text.to_ascii_lowercase()),
        TextTest::Suffix(text) => TextTest::Suffix(text.to_ascii_lowercase()),
        other => other,
    }
}

/// A field, or what Envoy has among fields.
fn header(at: &str, bracketed: &str, terms: Terms<TextTest>) -> Read<Condition> {
    let name = bracketed.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    Ok(match name.as_str() {
        ":authority" | "host" => Condition::Host(lower(terms)),
        ":method" => Condition::Method(terms),
        ":path" => Condition::Target(terms),
        other if CONSUMED.contains(&other) => {
            return Err((
                format!("{at}.key"),
                format!("{other:?} is of the connection, and gone when policies are asked"),
            ));
        }
        other if other.starts_with(':') => {
            return Err((
                format!("{at}.key"),
                format!("{other:?} is not looked at here: use a path, a method or a host"),
            ));
        }
        _ => {
            let name = HeaderName::new(&name).map_err(|error| (format!("{at}.key"), error.to_string()))?;
            Condition::Field(name, terms)
        }
    })
}
