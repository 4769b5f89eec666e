// SPDX-License-Identifier: Apache-2.0
//! What there is to say about a Gateway and its ListenerSets: from drafts to conditions. Never judges anything anew.

use torana_crds::ObjectRef;

use crate::report::conditions::{Condition, gateway as gateways, listener as listeners, listener_set as sets};
use crate::report::{ListenerEntry, Remark};
use crate::translate::frame::{Draft, is_served};
use crate::translate::gateways::{GatewayDraft, SetDraft};
use crate::translate::listeners::ListenerDraft;
use crate::translate::sampling;

/// Entries of a Gateway and of the ListenerSets that name it.
pub(super) fn of(gateway: &GatewayDraft<'_>) -> Vec<(ObjectRef, Draft)> {
    let mut accepted_sets = 0;
    let mut drafts: Vec<_> = gateway
        .sets
        .iter()
        .map(|set| {
            let (draft, accepted) = listener_set(gateway, set);
            accepted_sets += u32::from(accepted);
            (set.reference.clone(), draft)
        })
        .collect();
    let mut draft = listeners_of(gateway, &gateway.reference);
    let entry = &mut draft.entry;
    entry.generation = gateway.gateway.meta.generation;
    entry.attached_listener_sets = Some(accepted_sets);
    entry.conditions = whole(gateway);
    let whole = gateway.refused.iter().chain(&gateway.unusable).chain(&gateway.remarks);
    let client = gateway.client_certificate.iter().filter_map(|result| result.as_ref().err());
    entry.remarks.splice(0..0, whole.chain(&gateway.insecure).chain(client).cloned());
    drafts.push((gateway.reference.clone(), draft));
    drafts
}

fn whole(gateway: &GatewayDraft<'_>) -> Vec<Condition> {
    let own: Vec<_> = gateway.listeners.iter().filter(|listener| listener.owner == gateway.reference).collect();
    let invalid = names(own.iter().filter(|listener| !is_valid(listener)).map(|listener| listener.spec.name.as_str()));
    let none_accepted = !gateway.listeners.iter().any(ListenerDraft::is_accepted);
    let accepted = match &gateway.refused {
        Some(why) if why.reason == gateways::UNSUPPORTED_ADDRESS => gateways::unsupported_address(why.to_string()),
        Some(why) => gateways::invalid_parameters(why.to_string()),
        None if none_accepted => gateways::no_valid_listener(format!("no listener is valid: {invalid}")),
        None if invalid.is_empty() => match gateway.remarks.iter().find(|remark| remark.reason == sampling::INVALID) {
            Some(remark) => gateways::accepted_but(&remark.to_string()),
            None => gateways::accepted(),
        },
        None => gateways::accepted_in_part(format!("not valid: {invalid}")),
    };
    let served = gateway.listeners.iter().any(|listener| is_served(gateway, listener) && listener.pending.is_none());
    let awaited = gateway.listeners.iter().find_map(|listener| listener.pending.clone());
    let programmed = match (&gateway.refused, &gateway.unusable) {
        (Some(why), _) => gateways::not_programmed(why.to_string()),
        (None, Some(why)) => gateways::address_not_usable(why.to_string()),
        (None, None) if served => gateways::programmed(),
        (None, None) if let Some(why) = awaited => gateways::pending(why),
        (None, None) => gateways::not_programmed(format!("no listener can be served: {invalid}")),
    };
    let resolved = gateway.client_certificate.as_ref().map(|result| match result {
        Ok(_) => gateways::resolved_refs(),
        Err(why) => gateways::unresolved_refs(why.reason, why.to_string()),
    });
    let insecure =
        (!gateway.insecure.is_empty()).then(|| gateways::insecure_frontend_validation(joined(&gateway.insecure)));
    [accepted, programmed].into_iter().chain(resolved).chain(insecure).collect()
}

fn listener_set(gateway: &GatewayDraft<'_>, set: &SetDraft<'_>) -> (Draft, bool) {
    let mut draft = listeners_of(gateway, &set.reference);
    draft.entry.generation = set.set.meta.generation;
    let own = || gateway.listeners.iter().filter(|listener| listener.owner == set.reference);
    let accepted = set.refused.is_none() && own().any(|listener| is_valid(listener) || is_served(gateway, listener));
    let served = own().any(|listener| is_served(gateway, listener) && listener.pending.is_none());
    let awaited = own().find_map(|listener| listener.pending.clone());
    let invalid = names(own().filter(|listener| !is_valid(listener)).map(|listener| listener.spec.name.as_str()));
    draft.entry.conditions = match &set.refused {
        Some(why) => sets::refused(why.reason, &why.to_string()),
        None if !accepted => sets::refused(sets::LISTENERS_NOT_VALID, &format!("no listener is valid: {invalid}")),
        None => {
            let whole = if invalid.is_empty() {
                sets::accepted()
            } else {
                sets::accepted_in_part(format!("not valid: {invalid}"))
            };
            let reason = || format!("no listener can be served: {invalid}{}", unusable(gateway));
            let programmed = match awaited {
                _ if served => sets::programmed(),
                Some(why) => sets::pending(why),
                None => sets::not_programmed(reason()),
            };
            vec![whole, programmed]
        }
    };
    draft.entry.remarks.splice(0..0, set.refused.clone());
    if let (Some(why), None) = (&gateway.unusable, &set.refused) {
        let message = format!("{} is not served: {why}", gateway.reference);
        draft.entry.remarks.push(Remark::error(why.reason, "spec.parentRef", message, "correct the Gateway"));
    }
    (draft, accepted)
}

fn unusable(gateway: &GatewayDraft<'_>) -> String {
    gateway.unusable.as_ref().map(|why| format!("{}: {why}", gateway.reference)).unwrap_or_default()
}

fn listeners_of(gateway: &GatewayDraft<'_>, owner: &ObjectRef) -> Draft {
    let mut draft = Draft::default();
    draft.entry.gateway = Some(gateway.reference.clone());
    for listener in gateway.listeners.iter().filter(|listener| listener.owner == *owner) {
        draft.keys.push(listener.key.clone());
        draft.entry.listeners.push(ListenerEntry {
            name: listener.spec.name.clone(),
            supported_kinds: listener.kinds.clone(),
            attached_routes: 0,
            conditions: conditions(gateway, listener),
        });
        // A conflict says more than what else is wrong with the listener.
        let refusal = listener.conflict.as_ref().or(listener.refused.as_ref());
        let remarks = refusal.into_iter().chain(&listener.unresolved).chain(&listener.remarks);
        draft.entry.remarks.extend(remarks.cloned());
    }
    draft
}

fn conditions(gateway: &GatewayDraft<'_>, listener: &ListenerDraft<'_>) -> Vec<Condition> {
    let refusal = listener.conflict.as_ref().or(listener.refused.as_ref());
    let accepted = match refusal {
        None => listeners::accepted(),
        Some(why) => listeners::not_accepted(why.reason, why.to_string()),
    };
    let conflicted = match &listener.conflict {
        None => listeners::no_conflicts(),
        Some(why) => listeners::conflicted(why.reason, why.to_string()),
    };
    let resolved = match (listener.unresolved.first(), &listener.pending) {
        (None, Some(why)) => listeners::unresolved_refs(listeners::INVALID_CERTIFICATE_REF, why.clone()),
        (None, None) => listeners::resolved_refs(),
        (Some(first), _) => listeners::unresolved_refs(first.reason, joined(&listener.unresolved)),
    };
    let obstacle = refusal
        .or(gateway.refused.as_ref())
        .or(gateway.unusable.as_ref())
        .map(ToString::to_string)
        .or_else(|| listener.unservable.clone());
    let programmed = match (&listener.conflict, obstacle) {
        (Some(conflict), _) => listeners::not_programmed_for_conflict(conflict.reason, conflict.to_string()),
        (None, Some(why)) => listeners::not_programmed(why),
        (None, None) => listener.pending.clone().map_or_else(listeners::programmed, listeners::pending),
    };
    vec![accepted, conflicted, programmed, resolved]
}

fn is_valid(listener: &ListenerDraft<'_>) -> bool {
    listener.is_accepted() && listener.unresolved.is_empty()
}

fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { String::new() } else { format!("listener {}", names.join(", ")) }
}

/// Remarks as one message.
pub(super) fn joined(remarks: &[Remark]) -> String {
    const LIMIT: usize = 8;
    let mut text: Vec<_> = remarks.iter().take(LIMIT).map(ToString::to_string).collect();
    if remarks.len() > LIMIT {
        text.push(format!("and {} more", remarks.len() - LIMIT));
    }
    text.join(" | ")
}
