// SPDX-License-Identifier: Apache-2.0
//! "Did you mean": the known word that a misspelt one is closest to.

/// Longer words are not compared: the cost grows with their product.
const LONGEST: usize = 64;

/// The candidate within two edits (one for short words), compared without regard to case; the first of equals.
pub(crate) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase();
    let allowed = if word.chars().count() < 5 { 1 } else { 2 };
    candidates
        .map(|candidate| (strsim::osa_distance(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_known_word_is_suggested() {
        let known = ["matches", "filters", "backendRefs", "name", "timeouts"];
        for (word, expected) in [
            ("matchs", Some("matches")),
            ("match", Some("matches")),
            ("BackendRefs", Some("backendRefs")),
            ("backendRef", Some("backendRefs")),
            ("nmae", Some("name")),
            ("nam", Some("name")),
            ("weight", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known.into_iter()), expected, "{word}");
        }
    }

    #[test]
    fn very_long_words_are_not_compared() {
        assert_eq!(nearest(&"a".repeat(100_000), ["a"].into_iter()), None);
    }
}
