// SPDX-License-Identifier: Apache-2.0
//! The access log: a bounded queue to one thread that formats lines and writes many of them at a time.
//!
//! Never makes a request wait: a full queue drops the line and counts it.

use std::io::{self, Write};
use std::str::FromStr;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use prometheus::IntCounter;

use super::line::Lines;
use super::metrics::Metrics;
use super::record::AccessRecord;

/// Lines that wait for the writer.
const QUEUE: usize = 4096;
/// Bytes that are written at once.
const BATCH: usize = 64 << 10;
/// After a write the writer sleeps, so that a busy worker does not wake it for every line.
const PAUSE: Duration = Duration::from_millis(2);

/// What lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// There are none.
    Off,
    /// One JSON object a line.
    #[default]
    Json,
    /// One line of words, `-` for what is absent.
    Text,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(format!("{other:?} is not a log format: use off, json or text")),
        }
    }
}

/// The worker's end of the log; clones share the queue.
#[derive(Clone)]
pub struct AccessLog {
    queue: Option<SyncSender<Item>>,
    dropped: IntCounter,
}

enum Item {
    Line(Box<AccessRecord>),
    /// Everything before it was written when its sender is dropped.
    Flush(SyncSender<()>),
}

impl AccessLog {
    /// Starts the writer, which ends with the last clone of the log. An error means that there is no thread for it.
    pub fn start(format: LogFormat, out: impl Write + Send + 'static, metrics: &Metrics) -> io::Result<Self> {
        Self::with_queue(QUEUE, format, out, metrics)
    }

    fn with_queue(
        length: usize,
        format: LogFormat,
        out: impl Write + Send + 'static,
        metrics: &Metrics,
    ) -> io::Result<Self> {
        let dropped = metrics.log_dropped();
        if format == LogFormat::Off {
            return Ok(Self { queue: None, dropped });
        }
        let (queue, items) = sync_channel(length);
        let writer =
            Writer { format, out, lines: Lines::default(), dropped: dropped.clone(), batch: Vec::new(), held: 0 };
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run(&items))?;
        Ok(Self { queue: Some(queue), dropped })
    }

    /// Whether a record is worth making.
    pub fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Queues a line, or drops it.
    pub fn write(&self, record: impl Into<Box<AccessRecord>>) {
        let Some(queue) = &self.queue else { return };
        if queue.try_send(Item::Line(record.into())).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits until what was queued before is written, at most `within`. For the end of a process; blocks the thread.
    pub fn flush(&self, within: Duration) {
        let Some(queue) = &self.queue else { return };
        let deadline = std::time::Instant::now() + within;
        let (done, wait) = sync_channel(0);
        let mut item = Item::Flush(done);
        while let Err(TrySendError::Full(back)) = queue.try_send(item) {
            if std::time::Instant::now() >= deadline {
                return;
            }
            item = back;
            std::thread::sleep(PAUSE);
        }
        // Disconnected is success: the writer dropped its end.
        wait.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())).ok();
    }
}

struct Writer<W> {
    format: LogFormat,
    out: W,
    lines: Lines,
    dropped: IntCounter,
    batch: Vec<u8>,
    /// Lines in the batch.
    held: u64,
}

impl<W: Write> Writer<W> {
    fn run(mut self, items: &Receiver<Item>) {
        loop {
            let item = if let Ok(item) = items.try_recv() {
                item
            } else {
                // Nothing is left: write, rest, and only then ask to be woken.
                self.write();
                std::thread::sleep(PAUSE);
                let Ok(item) = items.recv() else { return };
                item
            };
            match item {
                Item::Line(record) => self.line(&record),
                Item::Flush(done) => {
                    self.write();
                    drop(done);
                }
            }
        }
    }

    fn line(&mut self, record: &AccessRecord) {
        match self.format {
            LogFormat::Off => {}
            LogFormat::Json => self.lines.json(&mut self.batch, record),
            LogFormat::Text => self.lines.text(&mut self.batch, record),
        }
        self.held += 1;
        if self.batch.len() >= BATCH {
            self.write();
        }
    }

    /// A sink that fails loses the batch; the next one is tried again.
    fn write(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if self.out.write_all(&self.batch).and_then(|()| self.out.flush()).is_err() {
            self.dropped.inc_by(self.held);
        }
        self.batch.clear();
        self.held = 0;
    }
}

#[cfg(test)]
mod tests;
