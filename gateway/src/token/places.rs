// SPDX-License-Identifier: Apache-2.0
//! Where requests carry tokens. Never says whether one is good.

use torana_ir::TokenPlace;

use super::rule::Rule;
use crate::head::Head;
use crate::route;

/// A token in some place.
#[derive(Debug)]
pub(super) struct Found {
    /// The token.
    pub(super) text: String,
    /// The rules that look there, by their place in the list.
    pub(super) rules: Vec<usize>,
}

/// Every token that some rule looks for, each once.
pub(super) fn found(head: &Head, rules: &[Rule]) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        for text in rule.places().iter().filter_map(|place| look(head, place)) {
            match all.iter_mut().find(|found| found.text == text) {
                Some(found) if found.rules.last() == Some(&at) => {}
                Some(found) => found.rules.push(at),
                None => all.push(Found { text, rules: vec![at] }),
            }
        }
    }
    all
}

/// What is in a place. Of a field that comes twice the values are one, which is no token.
fn look(head: &Head, place: &TokenPlace) -> Option<String> {
    match place {
        TokenPlace::Field(name, prefix) => {
            let value = head.fields.joined(name.as_str())?;
            if value.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)) {
                return value.get(prefix.len()..).map(|token| token.trim().to_owned());
            }
            // Wherever it stands, as Envoy has it: what a backend might take for a token is one that is judged.
            let (lower, prefix) = (value.to_ascii_lowercase(), prefix.to_ascii_lowercase());
            let start = lower.find(&prefix)? + prefix.len();
            Some(value.get(start..)?.trim().to_owned())
        }
        TokenPlace::Parameter(name) => {
            parameters(head).find(|(key, _)| decoded(key) == *name).map(|(_, value)| decoded(value))
        }
        TokenPlace::Cookie(name) => {
            let cookies = head.fields.joined("cookie")?;
            let mut pairs = cookies.split([';', ',']).filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.trim_matches('"').to_owned())
        }
    }
}

/// With escapes decoded, and `+` as a blank, as backends read it.
fn decoded(text: &str) -> String {
    route::decoded(&text.replace('+', " ")).into_owned()
}

fn parameters(head: &Head) -> impl Iterator<Item = (&str, &str)> {
    head.query().into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='))
}

/// Takes the token out of a place, so that no backend gets it. Cookies stay as they are, as with Envoy.
pub(super) fn remove(head: &mut Head, place: &TokenPlace) {
    match place {
        TokenPlace::Field(name, _) => {
            if look(head, place).is_some() {
                head.fields.remove(name.as_str());
            }
        }
        TokenPlace::Parameter(name) => {
            let is_it = |pair: &str| pair.split_once('=').is_some_and(|(key, _)| decoded(key) == *name);
            let Some(query) = head.query().filter(|query| query.split('&').any(is_it)) else { return };
            let kept: Vec<_> = query.split('&').filter(|pair| !is_it(pair)).collect();
            let target = match kept.as_slice() {
                [] => head.path().to_owned(),
                kept => format!("{}?{}", head.path(), kept.join("&")),
            };
            head.set_target(&target);
        }
        TokenPlace::Cookie(_) => {}
    }
}
