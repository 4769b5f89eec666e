// SPDX-License-Identifier: Apache-2.0
//! What a child counts with: atomics and nothing else, for there is a child for each of thousands of routes.

use std::array;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus::proto::{self, MetricType};

// No order is kept between two numbers: a scrape may see one of them a moment before the other.
const ORDER: Ordering = Ordering::Relaxed;

/// A number, or several, of one child of one family.
pub(super) trait Measure: Send + Sync + 'static {
    /// What the page calls such a family.
    const KIND: MetricType;

    /// Writes the numbers down.
    fn read(&self, metric: &mut proto::Metric);
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn inc(&self) {
        self.inc_by(1);
    }

    pub(super) fn inc_by(&self, more: u64) {
        self.0.fetch_add(more, ORDER);
    }
}

#[expect(clippy::cast_precision_loss, reason = "the page has nothing else, and it is exact up to 2^53")]
impl Measure for Counter {
    const KIND: MetricType = MetricType::COUNTER;

    fn read(&self, metric: &mut proto::Metric) {
        let mut counter = proto::Counter::default();
        counter.set_value(self.0.load(ORDER) as f64);
        metric.set_counter(counter);
    }
}

/// A number that grows and shrinks.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicI64);

impl Gauge {
    pub(super) fn inc(&self) {
        self.0.fetch_add(1, ORDER);
    }

    pub(super) fn dec(&self) {
        self.0.fetch_sub(1, ORDER);
    }

    pub(super) fn set(&self, value: i64) {
        self.0.store(value, ORDER);
    }
}

#[expect(clippy::cast_precision_loss, reason = "the page has nothing else, and it is exact up to 2^53")]
impl Measure for Gauge {
    const KIND: MetricType = MetricType::GAUGE;

    fn read(&self, metric: &mut proto::Metric) {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.0.load(ORDER) as f64);
        metric.set_gauge(gauge);
    }
}

/// How long or how large things were, in buckets that all children share.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    bounds: &'static [f64; N],
    /// What is in this bucket and in none before it.
    buckets: [AtomicU64; N],
    beyond: AtomicU64,
    /// Of all values, as the bits of an `f64`.
    sum: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    /// Empty; `bounds` are the ends of the buckets, ascending.
    pub(super) fn new(bounds: &'static [f64; N]) -> Self {
        let buckets = array::from_fn(|_| AtomicU64::default());
        Self { bounds, buckets, beyond: AtomicU64::default(), sum: AtomicU64::new(0f64.to_bits()) }
    }

    /// Of seconds.
    pub(super) fn took(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    pub(super) fn observe(&self, value: f64) {
        let bucket = self.bounds.iter().zip(&self.buckets).find(|(bound, _)| value <= **bound);
        bucket.map_or(&self.beyond, |(_, bucket)| bucket).fetch_add(1, ORDER);
        let more = |sum| Some((f64::from_bits(sum) + value).to_bits());
        // It gives a number each time.
        let _ = self.sum.fetch_update(ORDER, ORDER, more).is_ok();
    }
}

impl<const N: usize> Measure for Histogram<N> {
    const KIND: MetricType = MetricType::HISTOGRAM;

    fn read(&self, metric: &mut proto::Metric) {
        let mut count = 0;
        let bucket = |(bound, inside): (&f64, &AtomicU64)| {
            count += inside.load(ORDER);
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(count);
            bucket
        };
        let buckets = self.bounds.iter().zip(&self.buckets).map(bucket).collect();
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(count + self.beyond.load(ORDER));
        histogram.set_sample_sum(f64::from_bits(self.sum.load(ORDER)));
        metric.set_histogram(histogram);
    }
}
