// SPDX-License-Identifier: Apache-2.0
//! Lists that are read from their wire form: with room for what is in them and no more. A proxy keeps them by the
//! thousand, and most have one element; as they are read they have room for four.

use serde::{Deserialize, Deserializer};

/// For `#[serde(deserialize_with)]`.
pub(crate) fn exact<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let mut list = Vec::deserialize(deserializer)?;
    list.shrink_to_fit();
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_room_for_what_is_in_it() {
        #[derive(Deserialize)]
        struct Read(#[serde(deserialize_with = "exact")] Vec<[u64; 8]>);
        for length in [0, 1, 3, 5] {
            let text = serde_json::to_string(&vec![[7_u64; 8]; length]).unwrap();
            let Read(list) = serde_json::from_str(&text).unwrap();
            assert_eq!((list.len(), list.capacity()), (length, length));
        }
    }
}
