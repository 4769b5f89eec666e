// SPDX-License-Identifier: Apache-2.0
//! Maps where the API has maps. Serde also reads a list into a struct, by position: for kinds that no schema checks
//! (the core ones) that would turn a mistake into another meaning.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// For `#[serde(deserialize_with)]`: a struct, from a map only.
pub(crate) fn map<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_map(Map(PhantomData))
}

/// For `#[serde(deserialize_with)]`: a list of structs, each from a map only.
pub(crate) fn maps<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let items = Vec::<Strict<T>>::deserialize(deserializer)?;
    Ok(items.into_iter().map(|Strict(item)| item).collect())
}

struct Strict<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        map(deserializer).map(Self)
    }
}

struct Map<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}
