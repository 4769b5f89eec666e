// SPDX-License-Identifier: Apache-2.0
//! Where requests carry tokens. Never says whether one is good.

use std::borrow::Cow;

use torana_ir::TokenPlace;

use super::rule::Rule;
use crate::head::Head;

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
                None => all.push(Found { text: text.into_owned(), rules: vec![at] }),
            }
        }
    }
    all
}

/// What is in a place. Of a field that comes twice the values are one, which is no token.
fn look<'h>(head: &'h Head, place: &TokenPlace) -> Option<Cow<'h, str>> {
    match place {
        TokenPlace::Field(name, prefix) => {
            let value = head.fields.joined(name.as_str())?;
            let start = value.get(..prefix.len()).filter(|start| start.eq_ignore_ascii_case(prefix))?.len();
            Some(Cow::Owned(value[start..].trim().to_owned()))
        }
        TokenPlace::Parameter(name) => {
            parameters(head).find(|(key, _)| key == name).map(|(_, value)| Cow::Borrowed(value))
        }
        TokenPlace::Cookie(name) => {
            let cookies = head.fields.joined("cookie")?;
            let pairs = cookies.split([';', ',']).filter_map(|pair| pair.trim().split_once('='));
            let value =
                pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.trim_matches('"').to_owned());
            value.map(Cow::Owned)
        }
    }
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
            let is_it = |pair: &str| pair.split_once('=').is_some_and(|(key, _)| key == name);
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
