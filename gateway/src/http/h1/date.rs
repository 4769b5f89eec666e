// SPDX-License-Identifier: Apache-2.0
//! The `Date` of our own and of dateless answers (RFC 9110 §6.6.1), formatted once a second and thread.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local! {
    static CACHED: RefCell<Cached> = const { RefCell::new(Cached { second: 0, text: Vec::new() }) };
}

struct Cached {
    second: u64,
    text: Vec<u8>,
}

/// Appends the date of now.
pub(crate) fn append(out: &mut Vec<u8>) {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    CACHED.with_borrow_mut(|cached| {
        if cached.second != second || cached.text.is_empty() {
            cached.second = second;
            cached.text.clear();
            // Writing to a Vec cannot fail.
            drop(write!(cached.text, "{}", httpdate::HttpDate::from(now)));
        }
        out.extend_from_slice(&cached.text);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_of_now_in_the_fixed_form() {
        let mut out = Vec::new();
        append(&mut out);
        let text = String::from_utf8(out).unwrap();
        let age = SystemTime::now().duration_since(httpdate::parse_http_date(&text).unwrap()).unwrap();
        assert!(age.as_secs() < 2 && text.ends_with(" GMT") && text.len() == 29, "{text}");
    }
}
