// SPDX-License-Identifier: Apache-2.0

use std::sync::{Arc, Condvar, Mutex};
use std::time::SystemTime;

use super::*;
use crate::observe::Text;

fn record(path: &str) -> AccessRecord {
    let mut record = AccessRecord::new(SystemTime::now(), "10.0.0.1:1".parse().unwrap(), "HTTP/1.1");
    record.set(Text::Path, path.as_bytes());
    record
}

/// A sink that blocks while it is held, and remembers.
#[derive(Clone, Default)]
struct Sink(Arc<Pipe>);

/// Whether it is held, and what was written.
type Pipe = (Mutex<(bool, Vec<u8>)>, Condvar);

impl Sink {
    fn hold(&self, held: bool) {
        self.0.0.lock().unwrap().0 = held;
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().1.clone()).unwrap()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let guard = self.0.1.wait_while(self.0.0.lock().unwrap(), |state| state.0).unwrap();
        let mut state = guard;
        state.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_come_out_in_order() {
    let (sink, metrics) = (Sink::default(), Metrics::new());
    let log = AccessLog::start(LogFormat::Json, sink.clone(), &metrics).unwrap();
    for at in 0..100 {
        log.write(record(&format!("/{at}")));
    }
    log.flush(Duration::from_secs(10));
    let text = sink.text();
    let paths: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(paths, (0..100).map(|at| format!("/{at}")).collect::<Vec<_>>());
}

#[test]
fn a_sink_that_blocks_costs_lines_and_not_time() {
    let (sink, metrics) = (Sink::default(), Metrics::new());
    sink.hold(true);
    let log = AccessLog::with_queue(4, LogFormat::Json, sink.clone(), &metrics).unwrap();
    let started = std::time::Instant::now();
    for _ in 0..1000 {
        log.write(record("/"));
    }
    assert!(started.elapsed() < Duration::from_secs(1));
    sink.hold(false);
    log.flush(Duration::from_secs(10));
    let written = sink.text().lines().count() as u64;
    assert_eq!(written + log.dropped.get(), 1000);
    assert!(log.dropped.get() > 0 && written > 0);
    assert!(metrics.render().contains("torana_log_dropped_total{sink=\"access\"}"));
}

#[test]
fn a_sink_that_fails_loses_its_lines_and_counts_them() {
    let metrics = Metrics::new();
    let log = AccessLog::start(LogFormat::Text, Broken, &metrics).unwrap();
    log.write(record("/a"));
    log.write(record("/b"));
    log.flush(Duration::from_secs(10));
    assert_eq!(log.dropped.get(), 2);
}

#[test]
fn a_log_that_is_off_takes_nothing() {
    let (sink, metrics) = (Sink::default(), Metrics::new());
    let log = AccessLog::start(LogFormat::Off, sink.clone(), &metrics).unwrap();
    assert!(!log.is_on());
    log.write(record("/"));
    log.flush(Duration::from_secs(1));
    assert_eq!((sink.text().as_str(), log.dropped.get()), ("", 0));
}

#[test]
fn formats_are_read_from_words() {
    assert_eq!("json".parse(), Ok(LogFormat::Json));
    assert!("xml".parse::<LogFormat>().is_err());
}
