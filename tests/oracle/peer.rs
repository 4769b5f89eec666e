// SPDX-License-Identifier: Apache-2.0
//! Istio's program: a scenario in, its answer out, each within a deadline. It is started anew now and then, because it
//! keeps something of every configuration.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use super::istio;
use super::outcome::Answer;
use super::scenario::Scenario;

/// So long one scenario may take; the first also waits for the program to start.
const DEADLINE: Duration = Duration::from_mins(1);
/// So many scenarios one process is given.
const LIFE: u64 = 400;

/// A program that may run.
pub(super) struct Peer {
    program: PathBuf,
    running: Option<Running>,
}

/// One process.
struct Running {
    child: Child,
    to: ChildStdin,
    from: Receiver<String>,
    asked: u64,
}

impl Peer {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program, running: None }
    }

    /// What Istio makes of it; an error says why there is no answer, with the scenario's line where that helps.
    pub(super) fn ask(&mut self, scenario: &Scenario) -> Result<Answer, String> {
        if self.running.as_ref().is_some_and(|running| running.asked >= LIFE) {
            self.running = None;
        }
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Running::start(&self.program)?),
        };
        let answer = running.ask(scenario);
        if answer.is_err() {
            self.running = None;
        }
        answer
    }
}

impl Running {
    fn start(program: &PathBuf) -> Result<Self, String> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let (Some(to), Some(out)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the program has no pipes".to_owned());
        };
        let (sender, from) = sync_channel(1);
        // Ends with the process.
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, to, from, asked: 0 })
    }

    fn ask(&mut self, scenario: &Scenario) -> Result<Answer, String> {
        self.asked += 1;
        writeln!(self.to, "{}", scenario.line(self.asked))
            .map_err(|error| format!("the program has ended: {error}"))?;
        let line = self.from.recv_timeout(DEADLINE).map_err(|error| format!("no answer: {error}"))?;
        let value: serde_json::Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        if value["id"] != self.asked {
            return Err(format!("an answer to another scenario: {}", value["id"]));
        }
        let answer = istio::answer(&value)?;
        if answer.outcomes.len() == scenario.calls.len() {
            Ok(answer)
        } else {
            Err(format!("{} answers to {} calls", answer.outcomes.len(), scenario.calls.len()))
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
