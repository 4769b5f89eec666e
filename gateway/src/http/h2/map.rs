// SPDX-License-Identifier: Apache-2.0
//! Field lists to and from the `http` crate's maps, at the edge of HTTP/2 only.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::head::Fields;

/// A list from a map, in the map's order.
pub(crate) fn fields(map: &HeaderMap) -> Fields {
    let bytes = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let mut fields = Fields::with_capacity(bytes, map.len());
    for (name, value) in map {
        fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
    fields
}

/// A map from a list. Fields that the `http` crate refuses (none after the gate) and hop-by-hop fields
/// (RFC 9113 §8.2.2) are left out.
pub(crate) fn header_map(fields: &Fields, map: &mut HeaderMap) {
    map.reserve(fields.len());
    for (known, name, value) in fields.shared() {
        if known.hop_by_hop() {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_maybe_shared(value)) {
            map.append(name, value);
        }
    }
}
