// SPDX-License-Identifier: Apache-2.0
//! What the board and the alerts ask.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::server::{Prometheus, Sample};
use crate::house::source::root;

/// What Grafana makes of `$__rate_interval` when a target is asked every second.
const RATE_INTERVAL: &str = "5s";

/// One expression.
#[derive(Debug)]
pub(super) struct Question {
    /// The title of the panel, or the name of the alert.
    pub(super) of: String,
    pub(super) expression: String,
    /// Labels that the answer must have: what it is summed by, and what is shown beside it.
    pub(super) labels: BTreeSet<String>,
}

impl Question {
    fn new(of: &str, expression: &str, shown: BTreeSet<String>) -> Self {
        let mut labels = grouped_by(expression);
        labels.extend(shown);
        Self { of: of.to_owned(), expression: expression.to_owned(), labels }
    }

    /// Whether there is a number to see, and every label has a value somewhere.
    pub(super) fn is_answered(&self, answer: &[Sample]) -> bool {
        let finite: Vec<_> = answer.iter().filter(|sample| sample.value.is_finite()).collect();
        let named =
            |label: &String| finite.iter().any(|sample| sample.labels.get(label).is_some_and(|it| !it.is_empty()));
        !finite.is_empty() && self.labels.iter().all(named)
    }
}

fn board() -> Value {
    serde_json::from_str(&fs::read_to_string(root().join("deploy/dashboards/torana.json")).unwrap()).unwrap()
}

/// Every expression of the board, as Grafana sends it with `gateway` chosen.
pub(super) fn of_board(gateway: &str) -> Vec<Question> {
    let board = board();
    let panels = board["panels"].as_array().unwrap().iter();
    let questions = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        let title = panel["title"].as_str().unwrap().to_owned();
        targets.into_iter().map(move |target| {
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", RATE_INTERVAL);
            let expression = expression.replace("$gateway", gateway);
            assert!(!expression.contains('$'), "{title}: what does Grafana put in? {expression}");
            Question::new(&title, &expression, between(target["legendFormat"].as_str().unwrap_or_default(), "{{", "}}"))
        })
    });
    questions.collect()
}

/// The metric and the label whose values the board offers as `$gateway`.
pub(super) fn gateway_variable() -> (String, String) {
    let board = board();
    let variables = board["templating"]["list"].as_array().unwrap();
    let variable = variables.iter().find(|variable| variable["name"] == "gateway").unwrap();
    let query = variable["query"]["query"].as_str().unwrap();
    let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
    let (metric, label) = inside.split_once(", ").unwrap();
    (metric.to_owned(), label.to_owned())
}

/// Every alert that Prometheus has loaded. Where an alert looks two minutes back, five seconds will do: targets are
/// asked thirty times as often.
pub(super) fn of_alerts(prometheus: &Prometheus) -> Vec<Question> {
    let questions = prometheus.rules().into_iter().map(|rule| {
        let annotations: String = rule["annotations"].as_object().unwrap().values().map(Value::to_string).collect();
        let shown = between(&annotations, "$labels.", " ");
        let expression = rule["query"].as_str().unwrap().replace("offset 2m", "offset 5s");
        Question::new(rule["name"].as_str().unwrap(), &expression, shown)
    });
    questions.collect()
}

/// Words that stand between `open` and the next `close`.
fn between(text: &str, open: &str, close: &str) -> BTreeSet<String> {
    let words = text.split(open).skip(1).filter_map(|rest| rest.split(close).next());
    words.map(|word| word.trim().to_owned()).collect()
}

/// Labels of every `by (…)`. `le` ends in a quantile.
fn grouped_by(expression: &str) -> BTreeSet<String> {
    let lists = between(expression, "by (", ")");
    let labels = lists.iter().flat_map(|list| list.split(',')).map(|label| label.trim().to_owned());
    labels.filter(|label| label != "le").collect()
}

#[test]
fn a_question_names_the_labels_of_its_answer() {
    let expression = "histogram_quantile(0.9, sum by (le, a, b) (rate(x[5s])))";
    let question = Question::new("panel", expression, between("{{c}} of {{ d }}", "{{", "}}"));
    assert_eq!(question.labels, ["a", "b", "c", "d"].map(str::to_owned).into());
    let sample = |value, labels: &[&str]| Sample {
        labels: labels.iter().map(|label| ((*label).to_owned(), "x".to_owned())).collect(),
        value,
    };
    assert!(question.is_answered(&[sample(0.0, &["a", "b", "c", "d"])]));
    assert!(!question.is_answered(&[sample(0.0, &["a", "b", "c"])]), "nothing is called d");
    assert!(!question.is_answered(&[sample(f64::NAN, &["a", "b", "c", "d"])]), "no number");
    assert!(!question.is_answered(&[]));
}
