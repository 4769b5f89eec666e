// SPDX-License-Identifier: Apache-2.0
//! Which listeners are guarded by which policies of Istio. A policy that cannot be read, or that Istio would refuse, lets
//! nobody through. What Istio would guard is never opened.
//!
//! Never looks at a request.

use std::collections::BTreeMap;

use torana_crds::istio::authorization_policy::{AuthorizationPolicy, PolicyAction};
use torana_crds::istio::request_authentication::RequestAuthentication;
use torana_crds::istio::security::Scope;
use torana_crds::{Kind, ObjectMeta, ObjectRef};
use torana_ir::{AccessAction, AccessPolicy, Invalid, PolicyKey, TokenPolicy};

use crate::report::conditions::istio as conditions;
use crate::report::{Entry, Remark};
use crate::store::Cluster;
use crate::translate::access::{self, Unclear, deny_all};
use crate::translate::providers::Providers;
use crate::translate::scopes::{Home, Whose};
use crate::translate::servers::verdict_with;
use crate::translate::tokens;

/// The reason where a policy closes listeners.
const NOT_EVALUATED: &str = "PolicyNotEvaluated";
/// The reason where it is for nobody here.
const NOT_OURS: &str = "NoListener";
/// The reason where it does not do what it seems to.
const EVADED: &str = "HostWithoutPort";

/// All policies of a cluster.
#[derive(Debug)]
pub(super) struct Guards<'c> {
    guards: Vec<Guard<'c>>,
    /// Where policies for the whole mesh are.
    root: &'c str,
}

/// One policy.
#[derive(Debug)]
struct Guard<'c> {
    reference: ObjectRef,
    meta: Option<&'c ObjectMeta>,
    /// Whom it is for; `None`, it cannot be read: all that it could be for.
    scope: Option<Scope<'c>>,
    effect: Effect,
    remarks: Vec<Remark>,
}

#[derive(Debug)]
enum Effect {
    /// Proxies do what it says.
    Evaluated(Box<AccessPolicy>),
    /// Proxies believe whose tokens it says.
    Believes(Box<TokenPolicy>),
    /// Nobody is let through, and why.
    Closes(&'static str),
    /// There is nothing that it says.
    Nothing,
}

/// What guards the listeners of some proxies.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Guarding {
    /// Why nobody is let through, at least by proxies that know nothing of policies.
    pub(super) closed: Option<Invalid>,
    /// Why no request is let through by proxies that know nothing of tokens.
    pub(super) closed_requests: Option<Invalid>,
    /// What says who is.
    pub(super) policies: Vec<PolicyKey>,
    /// What says whose tokens are believed.
    pub(super) tokens: Vec<PolicyKey>,
}

impl<'c> Guards<'c> {
    /// Those of the cluster.
    pub(super) fn new(cluster: &'c Cluster, providers: &mut Providers<'_>) -> Self {
        let mesh = cluster.mesh();
        let authorization =
            cluster.all::<AuthorizationPolicy>().map(|policy| Guard::authorizing(cluster, policy, providers));
        let authentication = cluster.all::<RequestAuthentication>().map(Guard::authenticating);
        let kinds = [Kind::AuthorizationPolicy, Kind::RequestAuthentication];
        let unreadable = cluster.unreadable().keys().filter(|it| it.known_kind().is_some_and(|it| kinds.contains(&it)));
        let all = authorization.chain(authentication).chain(unreadable.map(Guard::unreadable));
        Self { guards: all.collect(), root: mesh.root_namespace() }
    }

    /// What guards the listeners of these proxies, of a Gateway of Gateway API if one is given.
    pub(super) fn of(&self, whose: Whose<'_>) -> Guarding {
        let all = || self.guards.iter().filter(|guard| self.is_for(guard, whose));
        let closed = |policy: &ObjectRef, why: &str| {
            let message = format!("{policy} is for this listener and {why}, so nobody is let through");
            Some(Invalid { reason: NOT_EVALUATED.into(), message })
        };
        if let Some((closing, why)) = all().find_map(|guard| Some((guard, guard.closes()?))) {
            return Guarding { closed: closed(&closing.reference, why), ..Guarding::default() };
        }
        let evaluated = || all().filter_map(|guard| guard.evaluated().map(|policy| (guard, policy)));
        let decides = |policy: &AccessPolicy| !policy.dry_run && policy.action != AccessAction::Audit;
        let tokens = || all().filter_map(|guard| guard.believes().map(|policy| (guard, policy)));
        let deciding = evaluated().find(|(_, policy)| decides(policy)).map(|(guard, _)| guard);
        let why = "is not known to this version of the proxy";
        Guarding {
            closed: deciding.and_then(|guard| closed(&guard.reference, why)),
            closed_requests: tokens().next().and_then(|(guard, _)| closed(&guard.reference, why)),
            policies: evaluated().map(|(_, policy)| policy.key.clone()).collect(),
            tokens: tokens().map(|(_, policy)| policy.key.clone()).collect(),
        }
    }

    /// What there is to say of each policy, given all whom it may be for.
    pub(super) fn entries(&self, all: &[Whose<'_>]) -> Vec<(ObjectRef, Entry)> {
        let said = self.guards.iter().filter_map(|guard| {
            let is_ours = all.iter().any(|whose| self.is_for(guard, *whose));
            let mut entry =
                Entry { generation: guard.meta?.generation, remarks: guard.remarks.clone(), ..Entry::default() };
            match &guard.effect {
                _ if !is_ours => {
                    entry.remarks.push(Remark::note(NOT_OURS, "spec", "it is for no listener of Torana", ""));
                }
                Effect::Closes(why) => {
                    let message = format!("it {why}, so the listeners that it is for answer 403");
                    entry.remarks.push(Remark::error(
                        NOT_EVALUATED,
                        "spec",
                        message,
                        "remove it, or narrow its selector",
                    ));
                }
                Effect::Evaluated(_) | Effect::Believes(_) | Effect::Nothing => {}
            }
            if is_ours {
                entry.conditions.push(conditions::accepted(&entry.remarks));
            }
            Some((guard.reference.clone(), entry))
        });
        said.collect()
    }

    /// The policies that proxies evaluate, of these keys.
    pub(super) fn policies(&self, keys: impl IntoIterator<Item = PolicyKey>) -> BTreeMap<PolicyKey, AccessPolicy> {
        named(self.guards.iter().filter_map(Guard::evaluated), |policy| &policy.key, keys)
    }

    /// What a policy says, if proxies evaluate it.
    pub(super) fn policy(&self, key: &PolicyKey) -> Option<&AccessPolicy> {
        self.guards.iter().filter_map(Guard::evaluated).find(|policy| policy.key == *key)
    }

    /// The same of those that say whose tokens are believed.
    pub(super) fn tokens(&self, keys: impl IntoIterator<Item = PolicyKey>) -> BTreeMap<PolicyKey, TokenPolicy> {
        named(self.guards.iter().filter_map(Guard::believes), |policy| &policy.key, keys)
    }

    fn is_for(&self, guard: &Guard<'_>, whose: Whose<'_>) -> bool {
        let home = Home::new(&guard.reference.namespace, self.root);
        match &guard.scope {
            Some(scope) => home.guards(scope, whose),
            None => home.may_be_for(whose),
        }
    }
}

impl<'c> Guard<'c> {
    fn authorizing(cluster: &Cluster, policy: &'c AuthorizationPolicy, providers: &mut Providers<'_>) -> Self {
        let (mut remarks, is_valid) = verdict_with(policy.problems(), NOBODY);
        let effect = match access::spelled_out(cluster.mesh().config(), policy) {
            Ok(said) if is_valid => {
                let (said, remark) = asking(said, providers);
                remarks.extend(remark);
                Effect::Evaluated(Box::new(said))
            }
            said => {
                remarks.extend(said.err().filter(|_| is_valid).map(invalid));
                let decides = policy.spec.action != PolicyAction::Audit && !policy.is_dry_run();
                let closed = || Effect::Evaluated(Box::new(deny_all(access::key(&policy.meta))));
                if decides { closed() } else { Effect::Nothing }
            }
        };
        remarks.extend(evaded(policy));
        let reference = ObjectRef::new(Kind::AuthorizationPolicy, &policy.meta.namespace, &policy.meta.name);
        Self { reference, meta: Some(&policy.meta), scope: Some(policy.scope()), effect, remarks }
    }

    fn authenticating(policy: &'c RequestAuthentication) -> Self {
        let (mut remarks, is_valid) = verdict_with(policy.problems(), NOBODY);
        let effect = match tokens::spelled_out(policy) {
            Ok(_) if !is_valid => Effect::Closes("is not valid"),
            Ok(said) if said.rules.is_empty() => Effect::Nothing,
            Ok(said) => {
                remarks.extend(tokens::unverifiable(&said).map(|place| {
                    let path = format!("spec.jwtRules[{place}].issuer");
                    let message = "it is no URL that tells where keys are, so no token of it is believed";
                    Remark::warning("NoKeys", &path, message, "write jwksUri or jwks")
                }));
                Effect::Believes(Box::new(said))
            }
            Err(unclear) => {
                remarks.extend(Some(unclear).filter(|_| is_valid).map(invalid));
                Effect::Closes("is not valid")
            }
        };
        let reference = ObjectRef::new(Kind::RequestAuthentication, &policy.meta.namespace, &policy.meta.name);
        Self { reference, meta: Some(&policy.meta), scope: Some(policy.scope()), effect, remarks }
    }

    fn unreadable(reference: &ObjectRef) -> Self {
        Self {
            reference: reference.clone(),
            meta: None,
            scope: None,
            effect: Effect::Closes("cannot be read"),
            remarks: Vec::new(),
        }
    }

    fn evaluated(&self) -> Option<&AccessPolicy> {
        match &self.effect {
            Effect::Evaluated(policy) => Some(policy),
            _ => None,
        }
    }

    fn believes(&self) -> Option<&TokenPolicy> {
        match &self.effect {
            Effect::Believes(policy) => Some(policy),
            _ => None,
        }
    }

    fn closes(&self) -> Option<&'static str> {
        match self.effect {
            Effect::Closes(why) => Some(why),
            _ => None,
        }
    }
}

/// A policy whose provider, if it has one, can be asked; else, as with Istio, it denies what its rules take.
fn asking(policy: AccessPolicy, providers: &mut Providers<'_>) -> (AccessPolicy, Option<Remark>) {
    let Some(why) = policy.provider().and_then(|provider| providers.authorizer(&provider.0).err()) else {
        return (policy, None);
    };
    let remark = Remark::error(
        "InvalidProvider",
        "spec.provider.name",
        format!("{why}, so what its rules take is denied"),
        "correct the provider, or name another one",
    );
    (AccessPolicy { action: AccessAction::Deny, ..policy }, Some(remark))
}

/// What a policy that cannot hold does.
const NOBODY: &str = "nobody is let through by the listeners that it is for";

/// What Istio takes and proxies cannot do.
fn invalid((path, why): Unclear) -> Remark {
    Remark::error("Invalid", &path, format!("{why}: {NOBODY}"), "correct it")
}

/// Of `all` policies those of these keys.
fn named<'g, P: Clone + 'g>(
    all: impl Iterator<Item = &'g P>,
    key_of: fn(&P) -> &PolicyKey,
    keys: impl IntoIterator<Item = PolicyKey>,
) -> BTreeMap<PolicyKey, P> {
    let all: BTreeMap<_, _> = all.map(|policy| (key_of(policy), policy)).collect();
    keys.into_iter().filter_map(|key| all.get(&key).map(|policy| (key, (*policy).clone()))).collect()
}

/// Hosts that are denied without a port: clients may write one.
fn evaded(policy: &AuthorizationPolicy) -> Option<Remark> {
    if policy.spec.action != PolicyAction::Deny {
        return None;
    }
    let rules = policy.spec.rules.iter().enumerate();
    let operations =
        rules.flat_map(|(rule, it)| it.to.iter().enumerate().map(move |(to, it)| (rule, to, &it.operation)));
    operations.into_iter().find_map(|(rule, to, operation)| {
        let host = operation.hosts.iter().find(|host| !host.contains(':') && !host.ends_with('*'))?;
        let path = format!("spec.rules[{rule}].to[{to}].operation.hosts");
        let message = format!("{host:?} is compared with the port that a client may write, so {host}:80 is not denied");
        Some(Remark::warning(EVADED, &path, message, format!("deny \"{host}:*\", too")))
    })
}
