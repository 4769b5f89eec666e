// SPDX-License-Identifier: Apache-2.0
//! The label values of one child as one text: one allocation instead of one a label.

/// Stands between two values. In a value it would shift those that follow, so there it is left out; names have none.
/// Nothing is less than it: texts sort as their values do one by one.
const BETWEEN: char = '\0';

/// What stands for the names that a child gave up.
const OTHER: &str = "other";

/// Names of objects: there are as many as users make. Values of other labels are from short lists.
const OBJECTS: [&str; 9] = [
    "backend",
    "destination_service_name",
    "destination_service_namespace",
    "gateway",
    "listener",
    "route_kind",
    "route_name",
    "route_namespace",
    "rule",
];

/// The name that there are too many of: the first of these that a family has.
const MANY: [&str; 3] = ["route_name", "backend", "destination_service"];

/// Values as one text.
pub(super) fn joined<'a>(values: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for (at, value) in values.into_iter().enumerate() {
        if at > 0 {
            text.push(BETWEEN);
        }
        text.extend(value.chars().filter(|char| *char != BETWEEN));
    }
    text
}

/// The values again.
pub(super) fn values(joined: &str) -> impl Iterator<Item = &str> {
    joined.split(BETWEEN)
}

/// The text of the child for all that have no child of their own: `other` for the name that there are too many of, and
/// no other names; of the code its class. What is left are words from short lists.
pub(super) fn folded(names: &[&str], joined: &str) -> String {
    let too_many = MANY.into_iter().find(|name| names.contains(name)).unwrap_or_default();
    let class = |code: &str| format!("{}xx", code.chars().next().unwrap_or_default());
    let fold = |(name, value): (&&str, &str)| match *name {
        name if name == too_many => OTHER.to_owned(),
        name if OBJECTS.contains(&name) => String::new(),
        "code" | "response_code" => class(value),
        _ => value.to_owned(),
    };
    let folded: Vec<String> = names.iter().zip(values(joined)).map(fold).collect();
    self::joined(folded.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_sort_as_their_values_do_one_by_one() {
        let rows = [["a", "z"], ["a", ""], ["", "b"], ["a b", "a"], ["ab", "a"], ["a", "a\u{1}"], ["b", "0"]];
        let mut by_values = rows.to_vec();
        by_values.sort_unstable();
        let mut texts = rows.map(joined).to_vec();
        texts.sort_unstable();
        assert_eq!(texts, by_values.iter().map(|row| joined(*row)).collect::<Vec<_>>());
    }

    #[test]
    fn values_come_back_as_they_were_and_none_can_shift_another() {
        assert_eq!(values(&joined(["", "a/b", "", "c"])).collect::<Vec<_>>(), ["", "a/b", "", "c"]);
        assert_eq!(values(&joined(["a\0b", "c"])).collect::<Vec<_>>(), ["ab", "c"]);
    }

    #[test]
    fn names_of_objects_are_given_up_and_words_stay() {
        let request = ["backend", "code", "gateway", "method", "route_name", "rule"];
        let folded = |names: &[&str], values: &[&str]| {
            super::folded(names, &joined(values.iter().copied())).replace(BETWEEN, "|")
        };
        assert_eq!(folded(&request, &["n/b:80", "404", "n/g", "GET", "r", "0"]), "|4xx||GET|other|");
        assert_eq!(folded(&["backend"], &["n/b:80"]), "other");
        let of_istio = ["destination_service", "destination_service_name", "reporter", "response_code"];
        assert_eq!(folded(&of_istio, &["b.n.svc", "b", "source", "503"]), "other||source|5xx");
    }
}
