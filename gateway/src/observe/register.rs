// SPDX-License-Identifier: Apache-2.0
//! How families are made, and put in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::measure::{Counter, Gauge, Histogram, Measure};
use super::page::{Family, Shelved, Small};
use super::shelf::Shelf;

/// The families that were made so far. All of our own have names that begin with `torana_`.
pub(super) struct Register {
    families: BTreeMap<String, Box<dyn Family>>,
    folded: IntCounter,
}

impl Register {
    /// With the counter of what finds no room in those that follow.
    pub(super) fn new(name: &str, help: &str) -> Self {
        let folded = made(IntCounter::new(full(name), help));
        let mut it = Self { families: BTreeMap::new(), folded: folded.clone() };
        it.small(name, folded);
        it
    }

    /// All, in the order of their names.
    pub(super) fn page(self) -> Arc<[Box<dyn Family>]> {
        self.families.into_values().collect()
    }

    // === with as many children as users make objects ===

    pub(super) fn shelf<T>(&self, labels: &'static [&'static str], most: usize, make: fn() -> T) -> Arc<Shelf<T>> {
        Arc::new(Shelf::new(labels, most, make, &self.folded))
    }

    /// A family of one of the numbers that a shelf has of each child.
    pub(super) fn part<T: Send + Sync + 'static, M: Measure>(
        &mut self,
        name: &str,
        help: &'static str,
        shelf: &Arc<Shelf<T>>,
        part: fn(&T) -> &M,
    ) {
        self.foreign(&full(name), help, shelf, part);
    }

    /// The same with a name that others have given it.
    pub(super) fn foreign<T: Send + Sync + 'static, M: Measure>(
        &mut self,
        name: &str,
        help: &'static str,
        shelf: &Arc<Shelf<T>>,
        part: fn(&T) -> &M,
    ) {
        self.add(name.to_owned(), Shelved { name: name.to_owned(), help, shelf: Arc::clone(shelf), part });
    }

    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &'static [&'static str],
        most: usize,
    ) -> Arc<Shelf<Counter>> {
        self.whole(name, help, self.shelf(labels, most, Counter::default))
    }

    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &'static [&'static str],
        most: usize,
    ) -> Arc<Shelf<Gauge>> {
        self.whole(name, help, self.shelf(labels, most, Gauge::default))
    }

    pub(super) fn histograms<const N: usize>(
        &mut self,
        name: &str,
        help: &'static str,
        labels: &'static [&'static str],
        most: usize,
        make: fn() -> Histogram<N>,
    ) -> Arc<Shelf<Histogram<N>>> {
        self.whole(name, help, self.shelf(labels, most, make))
    }

    /// A family of all that a shelf has of each child.
    fn whole<M: Measure>(&mut self, name: &str, help: &'static str, shelf: Arc<Shelf<M>>) -> Arc<Shelf<M>> {
        self.part(name, help, &shelf, |whole| whole);
        shelf
    }

    // === with few children, or one ===

    pub(super) fn few(&mut self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let counters = made(IntCounterVec::new(Opts::new(full(name), help), labels));
        self.small(name, counters)
    }

    /// Counters with all their children at zero.
    pub(super) fn known(&mut self, name: &str, help: &str, label: &str, values: &[&str]) -> IntCounterVec {
        let counters = self.few(name, help, &[label]);
        for value in values {
            counters.with_label_values(&[value]);
        }
        counters
    }

    pub(super) fn counter(&mut self, name: &str, help: &str) -> IntCounter {
        self.small(name, made(IntCounter::new(full(name), help)))
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str) -> IntGauge {
        self.small(name, made(IntGauge::new(full(name), help)))
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Histogram {
        let options = HistogramOpts::new(full(name), help).buckets(buckets.to_vec());
        self.small(name, made(prometheus::Histogram::with_opts(options)))
    }

    fn small<M: Collector + Clone + 'static>(&mut self, name: &str, metric: M) -> M {
        let registry = Registry::new();
        registry.register(Box::new(metric.clone())).expect("it is the first of this registry");
        self.add(full(name), Small(registry));
        metric
    }

    fn add(&mut self, name: String, family: impl Family + 'static) {
        let other = self.families.insert(name, Box::new(family));
        debug_assert!(other.is_none(), "every name is registered once");
    }
}

fn full(name: &str) -> String {
    format!("torana_{name}")
}

fn made<M>(metric: prometheus::Result<M>) -> M {
    metric.expect("names and labels are literals that tests register")
}
