// SPDX-License-Identifier: Apache-2.0
//! The page of all numbers in the Prometheus text format, a piece at a time: whoever reads it slowly, or with many
//! others, holds one piece and not the page.

use std::sync::Arc;

use prometheus::proto::{LabelPair, Metric, MetricFamily};
use prometheus::{Registry, TextEncoder};

use super::labels::values;
use super::measure::Measure;
use super::shelf::{Child, Shelf};

/// Children that are written at a time; one of a histogram is 16 lines.
const STEP: usize = 8;
/// A piece ends with the step that makes it so long.
const PIECE: usize = 32 << 10;

/// A family whose children are written in the order of their labels.
pub(super) trait Family: Send + Sync {
    /// Writes those after these labels, if there are any: all, or some, and then the labels of the last.
    fn write(&self, after: Option<&str>, text: &mut String) -> Option<String>;
}

/// One that is small, whatever users do. It alone is in this registry, which sorts.
pub(super) struct Small(pub(super) Registry);

impl Family for Small {
    fn write(&self, _: Option<&str>, text: &mut String) -> Option<String> {
        encode(&self.0.gather(), text);
        None
    }
}

/// One number of the children of a shelf.
pub(super) struct Shelved<T, M> {
    pub(super) name: String,
    pub(super) help: &'static str,
    pub(super) shelf: Arc<Shelf<T>>,
    pub(super) part: fn(&T) -> &M,
}

impl<T: Send + Sync + 'static, M: Measure> Family for Shelved<T, M> {
    fn write(&self, after: Option<&str>, text: &mut String) -> Option<String> {
        let children = self.shelf.after(after, STEP);
        let last = children.last()?.labels().to_owned();
        let mut family = MetricFamily::default();
        family.set_name(self.name.clone());
        family.set_help(self.help.to_owned());
        family.set_field_type(M::KIND);
        family.set_metric(children.iter().map(|child| self.metric(child)).collect());
        let start = text.len();
        encode(&[family], text);
        if after.is_some() {
            // What the family is was said before its first children.
            let lines = text.get(start..).unwrap_or_default().match_indices('\n');
            let head = lines.take(2).last().map_or(start, |(at, _)| start + at + 1);
            text.replace_range(start..head, "");
        }
        (children.len() == STEP).then_some(last)
    }
}

impl<T, M: Measure> Shelved<T, M> {
    fn metric(&self, child: &Child<T>) -> Metric {
        let pair = |(name, value): (&&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_owned());
            pair
        };
        let mut metric = Metric::from_label(self.shelf.names().iter().zip(values(child.labels())).map(pair).collect());
        (self.part)(child).read(&mut metric);
        metric
    }
}

fn encode(families: &[MetricFamily], text: &mut String) {
    if let Err(error) = TextEncoder::new().encode_utf8(families, text) {
        text.extend(["# ", &error.to_string(), "\n"]);
    }
}

/// The page; each piece is whole lines of what is counted when it is asked for.
pub struct Page {
    families: Arc<[Box<dyn Family>]>,
    at: usize,
    after: Option<String>,
}

impl Page {
    /// In this order.
    pub(super) fn new(families: Arc<[Box<dyn Family>]>) -> Self {
        Self { families, at: 0, after: None }
    }
}

impl Iterator for Page {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut text = String::with_capacity(2 * PIECE);
        while text.len() < PIECE {
            let Some(family) = self.families.get(self.at) else { break };
            self.after = family.write(self.after.as_deref(), &mut text);
            self.at += usize::from(self.after.is_none());
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests;
