// SPDX-License-Identifier: Apache-2.0
//! Values of headers with `%VARIABLES%`, as Envoy's parser of them goes. Never asks whether there is such a variable.

/// Where the parser stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Literal,
    Name,
    Arguments,
    Item,
    Text,
    AfterItem,
    AfterItems,
    AfterArguments,
}

/// What is wrong with a value: a byte that no field may have, or a `%` that begins no variable (a plain one is `%%`).
pub(super) fn fault(value: &str) -> Option<&'static str> {
    if value.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f) {
        return Some("has a control character");
    }
    let mut state = State::Literal;
    let mut bytes = value.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let skips = match (state, byte) {
            (State::Literal, b'%') => bytes.peek() == Some(&b'%'),
            (State::Text, b'\\') => true,
            _ => false,
        };
        if skips {
            if bytes.next().is_none() {
                return Some("ends with a backslash in a variable");
            }
        } else {
            match next(state, byte) {
                Some(after) => state = after,
                None => return Some("has a variable whose arguments cannot be read"),
            }
        }
    }
    (state != State::Literal).then_some("has a % that begins no %VARIABLE%")
}

fn next(state: State, byte: u8) -> Option<State> {
    Some(match (state, byte) {
        (State::Literal, b'%') => State::Name,
        (State::Literal, _) | (State::Name | State::AfterArguments, b'%') => State::Literal,
        (State::Name, b'(') => State::Arguments,
        (State::Name, _) => State::Name,
        (State::Arguments, b'[') | (State::AfterItem, b',') => State::Item,
        (State::Arguments | State::Item | State::AfterItem | State::AfterItems | State::AfterArguments, b' ') => state,
        (State::Text | State::AfterItems, b')') => State::AfterArguments,
        (State::Text, b'"') => State::AfterItem,
        (State::Text | State::Arguments, _) | (State::Item, b'"') => State::Text,
        (State::AfterItem, b']') => State::AfterItems,
        (State::Item | State::AfterItem | State::AfterItems | State::AfterArguments, _) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_escaped_percents_are_fine() {
        for value in [
            "",
            "plain",
            "%HOSTNAME%",
            "100%%",
            "a %HOSTNAME% b %PROTOCOL%",
            "%REQ(x-user)%",
            "%START_TIME(%s)%",
            "%UPSTREAM_METADATA([\"a\", \"b\"])%",
            "%REQ(a\\)b)%",
            "\t",
        ] {
            assert_eq!(fault(value), None, "{value:?}");
        }
    }

    #[test]
    fn others_are_not() {
        for value in [
            "%",
            "abc%123",
            "%START_TIME%%",
            "%REQ(a",
            "%REQ(a)x%",
            "%M([a])%",
            "%M([\"a\"x])%",
            "%REQ(\\",
            "a\nb",
            "a\u{7f}",
        ] {
            assert!(fault(value).is_some(), "{value:?}");
        }
    }
}
