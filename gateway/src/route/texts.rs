// SPDX-License-Identifier: Apache-2.0
//! Texts that paths are compared with: which of them a path is, and which it begins with.
//!
//! They lie sorted, so that a path is found among them by halving; and each knows the longest other one that it begins
//! with, so that from the longest text that a path begins with all shorter ones are at hand.

use std::cmp::Ordering;

/// Texts, each with places in something else.
#[derive(Debug)]
pub(super) struct Texts {
    entries: Vec<Entry>,
    /// ASCII letters of either case are the same.
    any_case: bool,
}

#[derive(Debug)]
struct Entry {
    text: Box<str>,
    /// The longest other text that this one begins with.
    above: Option<u32>,
    /// Least first.
    places: Vec<u32>,
}

impl Texts {
    /// Indexes `placed`.
    pub(super) fn build<'a>(placed: impl Iterator<Item = (&'a str, u32)>, any_case: bool) -> Self {
        let text = |text: &str| if any_case { text.to_ascii_lowercase() } else { text.to_owned() };
        let mut sorted: Vec<(String, u32)> = placed.map(|(it, place)| (text(it), place)).collect();
        sorted.sort_unstable();
        let mut texts = Self { entries: Vec::new(), any_case };
        for (text, place) in sorted {
            match texts.entries.last_mut() {
                Some(last) if *last.text == *text => last.places.push(place),
                _ => {
                    let above = texts.longest(&text);
                    texts.entries.push(Entry { text: text.into_boxed_str(), above, places: vec![place] });
                }
            }
        }
        texts
    }

    /// The places of the text that `path` is.
    pub(super) fn of(&self, path: &str) -> &[u32] {
        let at = self.entries.binary_search_by(|entry| self.compare(&entry.text, path));
        at.ok().and_then(|at| self.entries.get(at)).map(|entry| entry.places.as_slice()).unwrap_or_default()
    }

    /// The longest text that `path` begins with.
    ///
    /// It lies not after the last that is not greater than `path`; if it is another one, that one begins with it, too.
    pub(super) fn longest(&self, path: &str) -> Option<u32> {
        let after = self.entries.partition_point(|entry| self.compare(&entry.text, path) != Ordering::Greater);
        let mut at = u32::try_from(after.checked_sub(1)?).ok()?;
        let common = self.common(&self.entry(at)?.text, path);
        loop {
            let entry = self.entry(at)?;
            if entry.text.len() <= common {
                return Some(at);
            }
            at = entry.above?;
        }
    }

    /// The least place not below `from` of a text that a path begins with whose `longest` is this.
    pub(super) fn next(&self, longest: Option<u32>, from: u32) -> Option<u32> {
        let chain = std::iter::successors(longest.and_then(|at| self.entry(at)), |entry| self.entry(entry.above?));
        chain.filter_map(|entry| entry.places.get(entry.places.partition_point(|place| *place < from))).min().copied()
    }

    fn entry(&self, at: u32) -> Option<&Entry> {
        self.entries.get(at as usize)
    }

    fn compare(&self, text: &str, path: &str) -> Ordering {
        if self.any_case {
            text.bytes().cmp(path.bytes().map(|byte| byte.to_ascii_lowercase()))
        } else {
            text.cmp(path)
        }
    }

    /// Bytes with which both begin.
    fn common(&self, text: &str, path: &str) -> usize {
        let same = |(one, other): &(u8, u8)| one == other || (self.any_case && one.eq_ignore_ascii_case(other));
        text.bytes().zip(path.bytes()).take_while(same).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(texts: &Texts, path: &str) -> Vec<u32> {
        let longest = texts.longest(path);
        std::iter::successors(texts.next(longest, 0), |place| texts.next(longest, place + 1)).collect()
    }

    #[test]
    fn a_path_begins_with_its_prefixes_and_their_places_come_in_order() {
        let listed = ["/b", "/", "/a/b", "/a", "", "/a/bc", "/a", "/abc"];
        let texts = Texts::build(listed.into_iter().zip(0..), false);
        for (path, expected) in [
            ("/a/bcd", [1, 2, 3, 4, 5, 6].as_slice()),
            ("/a/b", &[1, 2, 3, 4, 6]),
            ("/ab", &[1, 3, 4, 6]),
            ("/c", &[1, 4]),
            ("/A", &[1, 4]),
            ("*", &[4]),
        ] {
            assert_eq!(all(&texts, path), expected, "{path}");
        }
        assert_eq!((texts.of("/a"), texts.of("/ab"), texts.of("")), ([3, 6].as_slice(), [].as_slice(), [4].as_slice()));
    }

    #[test]
    fn case_counts_only_where_it_does() {
        let texts = Texts::build([("/Ab", 0), ("/ab", 1), ("/a", 2)].into_iter(), true);
        assert_eq!((all(&texts, "/AB/c"), texts.of("/aB")), (vec![0, 1, 2], [0, 1].as_slice()));
        let texts = Texts::build([("/Ab", 0), ("/ab", 1)].into_iter(), false);
        assert_eq!((all(&texts, "/ab/c"), texts.of("/aB")), (vec![1], [].as_slice()));
    }
}
