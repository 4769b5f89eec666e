// SPDX-License-Identifier: Apache-2.0
//! An order from its placing to the certificate (RFC 8555 §7.4): the authority is convinced of every name that it asks
//! about, and asked to look only when all proxies know the answer.

use std::collections::BTreeSet;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType as Type, Identifier, NewOrder, Order as Placed,
    OrderStatus,
};
use tokio::time::{Instant, sleep, timeout};

use super::installing::{csr, install, new_key};
use super::{Done, Outcome, Site, identifier, records};
use crate::acme::failure::{CAA, Failure, NO_ACCOUNT, PREFLIGHT, PROXIES, SLOW, STORAGE, patiently};
use crate::acme::record::Record;
use crate::acme::told::Happening;
use crate::issuance::{Answer, Challenge, ChallengeType, Order, Solvable, Wanted, Why};

/// So long proxies have to learn an answer: new ones begin meanwhile.
const LEARNING: Duration = Duration::from_mins(2);
/// So long an authority may take to look, or to sign.
const SLOWEST: Duration = Duration::from_mins(3);
/// Pauses between questions how far it is.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Places an order and sees it through; `replaced` is the id of the certificate whose place it takes. Where the authority
/// was not convinced before, it is tried first where nothing counts, if that can be asked.
pub(super) async fn place(
    site: &Site,
    wanted: &Wanted,
    record: &mut Record,
    (why, replaced): (Why, Option<String>),
) -> Result<Done, Failure> {
    give_up(wanted, record).await;
    if record.state.rehearse && wanted.issuer.rehearsal.is_some() {
        let rehearsal = wanted.rehearsing();
        match begin(site, &rehearsal, record, None).await {
            Ok((placed, _)) => {
                keep(site, &rehearsal, record, (&placed, None, true)).await?;
                return see_through(site, &rehearsal, record, placed).await;
            }
            Err(failure) if failure.is_ours() => return Err(failure),
            Err(failure) => tracing::info!(certificate = %wanted.secret, why = failure.message, "no rehearsal"),
        }
    }
    let (placed, replaces) = begin(site, wanted, record, replaced).await?;
    if replaces.is_none() {
        record.state.spent.placed(!why.renews(), site.clock.now());
    }
    keep(site, wanted, record, (&placed, replaces, false)).await?;
    site.told.tell(wanted, Happening::Ordered);
    see_through(site, wanted, record, placed).await
}

/// Places an order, in the place of the certificate with this id if the authority takes that.
async fn begin(
    site: &Site,
    wanted: &Wanted,
    record: &mut Record,
    mut replaces: Option<String>,
) -> Result<(Placed, Option<String>), Failure> {
    let account = site.accounts.of(&wanted.issuer).await?;
    // The key first: whoever goes on with the order must have it.
    record.key = Some(new_key(wanted.issuer.key).await?);
    let mut placed = patiently!(new_order(&account, wanted, replaces.as_deref()).await);
    if let Err(failure) = &placed
        && replaces.is_some()
        && failure.is_of_what_is_replaced()
    {
        tracing::debug!(certificate = %wanted.secret, why = failure.message, "it is ordered as if there were none");
        replaces = None;
        placed = patiently!(new_order(&account, wanted, None).await);
    }
    Ok((known(site, wanted, placed).await?, replaces))
}

/// Keeps that an order was placed.
async fn keep(
    site: &Site,
    wanted: &Wanted,
    record: &mut Record,
    (placed, replaces, is_rehearsal): (&Placed, Option<String>, bool),
) -> Result<(), Failure> {
    record.state.order = Some(Order {
        url: placed.url().to_owned(),
        directory: wanted.issuer.directory.clone(),
        hosts: wanted.names(),
        challenges: Vec::new(),
        placed: site.clock.now(),
        replaces,
        is_rehearsal,
    });
    record.save().await
}

/// The order that there is comes to nothing.
pub(super) async fn give_up(wanted: &Wanted, record: &mut Record) {
    if let Some(order) = &record.state.order {
        records::remove(&wanted.with(order).issuer, order).await;
        record.state.spent.over(order.placed);
    }
    record.close();
}

/// An authority that does not know the account has forgotten all of its orders.
async fn known(site: &Site, wanted: &Wanted, placed: Result<Placed, Failure>) -> Result<Placed, Failure> {
    if placed.as_ref().is_err_and(|failure| failure.reason == NO_ACCOUNT) {
        site.accounts.forget(&wanted.issuer).await?;
    }
    placed
}

async fn new_order(account: &Account, wanted: &Wanted, replaced: Option<&str>) -> Result<Placed, Failure> {
    let names: Vec<_> = wanted.hosts.keys().cloned().map(Identifier::Dns).collect();
    let mut order = NewOrder::new(&names);
    if let Some(profile) = &wanted.issuer.profile {
        order = order.profile(profile);
    }
    if let Some(id) = replaced.and_then(identifier) {
        order = order.replaces(id);
    }
    Ok(account.new_order(&order).await?)
}

/// Goes on with the order that there is.
pub(super) async fn resume(site: &Site, wanted: &Wanted, record: &mut Record) -> Result<Done, Failure> {
    let Some(order) = &record.state.order else { return Ok((Outcome::Idle, wanted.current.clone())) };
    if record.key.is_none() {
        return Err(Failure::over(STORAGE, "the key of the order is lost; another order is placed"));
    }
    let (wanted, url) = (&wanted.with(order), order.url.clone());
    let account = site.accounts.of(&wanted.issuer).await?;
    let placed = patiently!(account.order(url.clone()).await.map_err(Failure::from));
    let placed = known(site, wanted, placed).await.inspect_err(|failure| {
        if failure.reason == NO_ACCOUNT {
            record.close();
        }
    })?;
    see_through(site, wanted, record, placed).await
}

async fn see_through(site: &Site, wanted: &Wanted, record: &mut Record, mut placed: Placed) -> Result<Done, Failure> {
    if placed.state().status == OrderStatus::Pending {
        convince(site, wanted, record, &mut placed).await?;
    }
    if record.state.order.as_ref().is_some_and(|order| order.is_rehearsal) {
        return rehearsed(wanted, record, &mut placed).await;
    }
    if placed.state().status == OrderStatus::Ready {
        let key = record.key.clone().unwrap_or_default();
        let csr = csr(&key, &wanted.names())?;
        patiently!(placed.finalize_csr(&csr).await.map_err(Failure::from))?;
    }
    settle(&mut placed, &[OrderStatus::Processing, OrderStatus::Ready]).await?;
    if placed.state().status == OrderStatus::Invalid {
        return Err(refusal(&mut placed).await);
    }
    let chain = patiently!(placed.certificate().await.map_err(Failure::from))?;
    let chain = chain.ok_or_else(|| Failure::later("authority", "the authority has not signed yet"))?;
    let current = install(site, wanted, record, chain).await?;
    Ok((Outcome::Issued, Some(current)))
}

/// What the authority was convinced of where nothing counts, it will be where it does.
async fn rehearsed(wanted: &Wanted, record: &mut Record, placed: &mut Placed) -> Result<Done, Failure> {
    if placed.state().status == OrderStatus::Invalid {
        return Err(refusal(placed).await);
    }
    give_up(wanted, record).await;
    record.state.rehearse = false;
    record.save().await?;
    Ok((Outcome::Rehearsed, wanted.current.clone()))
}

/// Shows that the names are ours.
async fn convince(site: &Site, wanted: &Wanted, record: &mut Record, placed: &mut Placed) -> Result<(), Failure> {
    let challenges = patiently!(chosen(wanted, placed).await)?;
    if let Some(order) = &mut record.state.order
        && order.challenges != challenges
    {
        order.challenges.clone_from(&challenges);
        record.save().await?;
    }
    records::put(wanted, &challenges).await?;
    learned(site, wanted, &challenges).await?;
    if wanted.issuer.checks {
        preflight(site, wanted, &challenges).await?;
    }
    ask_to_look(wanted, placed).await?;
    settle(placed, &[OrderStatus::Pending]).await?;
    if placed.state().status == OrderStatus::Invalid { Err(refusal(placed).await) } else { Ok(()) }
}

/// What the authority would find.
async fn preflight(site: &Site, wanted: &Wanted, challenges: &[Challenge]) -> Result<(), Failure> {
    for challenge in challenges {
        site.reach.look(challenge).await.map_err(|why| {
            let Challenge { kind, host, .. } = challenge;
            Failure::later(PREFLIGHT, format!("{kind} for {host}: {why}. The authority is not asked"))
        })?;
    }
    for host in wanted.hosts.keys().filter(|_| !wanted.issuer.identities.is_empty()) {
        let permitted = site.reach.permits(host, wanted.issuer.identities).await;
        permitted.map_err(|why| Failure::later(CAA, format!("{why}. The authority is not asked")))?;
    }
    Ok(())
}

/// A challenge of each name that the authority is not convinced of.
async fn chosen(wanted: &Wanted, placed: &mut Placed) -> Result<Vec<Challenge>, Failure> {
    let mut chosen = Vec::new();
    let mut authorizations = placed.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let host = host_of(&authorization.identifier())?;
        let kind = kind_of(wanted, &host)?;
        let challenge = authorization.challenge(as_type(kind)).ok_or_else(|| {
            Failure::over(
                "rejected",
                format!("the authority does not offer {kind} for {host}; let it be shown otherwise"),
            )
        })?;
        let (token, key_authorization) = (challenge.token.clone(), challenge.key_authorization());
        let key_authorization = key_authorization.as_str().to_owned();
        let host = host.trim_start_matches("*.").to_owned();
        chosen.push(Challenge { host, kind, token, key_authorization });
    }
    chosen.sort();
    Ok(chosen)
}

fn host_of(identifier: &instant_acme::AuthorizedIdentifier<'_>) -> Result<String, Failure> {
    match identifier.identifier {
        Identifier::Dns(name) if identifier.wildcard => Ok(format!("*.{}", name.to_ascii_lowercase())),
        Identifier::Dns(name) => Ok(name.to_ascii_lowercase()),
        other => Err(Failure::over("authority", format!("the authority asks about {other:?}, which was not ordered"))),
    }
}

fn kind_of(wanted: &Wanted, host: &str) -> Result<ChallengeType, Failure> {
    match wanted.hosts.get(host) {
        Some(Solvable::By(kind)) => Ok(*kind),
        Some(Solvable::Not(why)) => Err(Failure::over("rejected", why.clone())),
        None => Err(Failure::over("authority", format!("the authority asks about {host}, which was not ordered"))),
    }
}

fn as_type(kind: ChallengeType) -> Type {
    match kind {
        ChallengeType::Http01 => Type::Http01,
        ChallengeType::TlsAlpn01 => Type::TlsAlpn01,
        ChallengeType::Dns01 => Type::Dns01,
    }
}

/// Waits until every proxy of every Gateway knows what to answer.
async fn learned(site: &Site, wanted: &Wanted, challenges: &[Challenge]) -> Result<(), Failure> {
    let by_proxies = challenges.iter().filter(|challenge| challenge.kind != ChallengeType::Dns01);
    let needed: BTreeSet<Answer> = by_proxies
        .flat_map(|challenge| {
            let key_authorization = &challenge.key_authorization;
            let answer = |gateway: &torana_ir::GatewayId| Answer {
                gateway: gateway.clone(),
                key_authorization: key_authorization.clone(),
            };
            wanted.gateways.iter().map(answer)
        })
        .collect();
    let mut answers = site.answers.clone();
    let known = timeout(LEARNING, answers.wait_for(|known| needed.is_subset(known))).await;
    if matches!(known, Ok(Ok(_))) {
        return Ok(());
    }
    let missing: BTreeSet<_> = {
        let known = site.answers.borrow();
        needed.difference(&known).map(|answer| answer.gateway.to_string()).collect()
    };
    let names: Vec<_> = missing.into_iter().collect();
    let why = format!("the proxies of Gateway {} have not confirmed that they know the answer", names.join(", "));
    Err(Failure::later(PROXIES, format!("{why}. The authority is not asked")))
}

/// What the authority has not begun to look at, it is asked to: once each, for it refuses to be asked again, and what is
/// known here of the others does not change meanwhile.
async fn ask_to_look(wanted: &Wanted, placed: &mut Placed) -> Result<(), Failure> {
    let mut authorizations = placed.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let kind = kind_of(wanted, &host_of(&authorization.identifier())?)?;
        if let Some(mut challenge) = authorization.challenge(as_type(kind))
            && challenge.status == ChallengeStatus::Pending
        {
            patiently!(challenge.set_ready().await.map_err(Failure::from))?;
        }
    }
    Ok(())
}

/// Asks how far the order is until it is none of `passing`.
async fn settle(placed: &mut Placed, passing: &[OrderStatus]) -> Result<(), Failure> {
    let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
    while passing.contains(&placed.state().status) {
        if begun.elapsed() > SLOWEST {
            return Err(Failure::later(SLOW, "the authority takes long; it is asked again later"));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        patiently!(placed.refresh().await.map(drop).map_err(Failure::from))?;
    }
    Ok(())
}

/// Why the order came to nothing.
async fn refusal(placed: &mut Placed) -> Failure {
    let problem = placed.state().error.clone();
    let mut authorizations = placed.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else { break };
        if authorization.refresh().await.is_err() {
            break;
        }
        let host = host_of(&authorization.identifier()).unwrap_or_default();
        for challenge in &authorization.challenges {
            if let Some(problem) = &challenge.error {
                return Failure::refused(problem, &format!("{} for {host}", name_of(&challenge.r#type)));
            }
        }
    }
    match problem {
        Some(problem) => Failure::refused(&problem, "the order"),
        None => Failure::over("authority", "the authority ended the order and does not say why"),
    }
}

fn name_of(kind: &Type) -> &'static str {
    match kind {
        Type::Http01 => ChallengeType::Http01.as_str(),
        Type::TlsAlpn01 => ChallengeType::TlsAlpn01.as_str(),
        Type::Dns01 => ChallengeType::Dns01.as_str(),
        _ => "a challenge",
    }
}
