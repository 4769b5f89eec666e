// SPDX-License-Identifier: Apache-2.0
//! A program that puts and removes records: `COMMAND… present|cleanup FQDN VALUE`. It sees PATH and HOME of the
//! environment, has no input, and is ended by a deadline together with what it has started. Never uses a shell.

use std::env;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::error::DnsError;
use super::{Action, excerpt};

/// Of one run.
const DEADLINE: Duration = Duration::from_mins(1);
/// What it has started may hold its standard error open; so long that is waited for after its end.
const LAST_WORDS: Duration = Duration::from_secs(1);
const INHERITED: [&str; 2] = ["PATH", "HOME"];

/// A program that puts and removes records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The program and its first arguments; `present` or `cleanup`, the name and the value follow.
    pub command: Vec<String>,
}

impl Exec {
    pub(super) async fn perform(&self, action: Action, fqdn: &str, value: &str) -> Result<(), DnsError> {
        self.run(action, fqdn, value, DEADLINE).await
    }

    async fn run(&self, action: Action, fqdn: &str, value: &str, limit: Duration) -> Result<(), DnsError> {
        let Some((program, arguments)) = self.command.split_first() else {
            let why = "it has no command: write the path of a program".to_owned();
            return Err(DnsError::Settings { what: "program", why });
        };
        let verb = match action {
            Action::Present => "present",
            Action::CleanUp => "cleanup",
        };
        let failed = |why| DnsError::Exec { program: program.clone(), what: format!("{verb} {fqdn}"), why };
        let mut command = Command::new(program);
        command.args(arguments).args([verb, fqdn, value]).env_clear();
        command.envs(INHERITED.into_iter().filter_map(|name| Some((name, env::var_os(name)?))));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let child = command.kill_on_drop(true).spawn();
        let child = child.map_err(|error| failed(format!("{error}; is it there, and may it be executed?")))?;
        let (status, words) = match timeout(limit, Group(child).end()).await {
            Ok(ended) => ended.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed(format!("it was ended after {limit:?}; let it be done sooner"))),
        };
        if status.success() { Ok(()) } else { Err(failed(format!("{status}: {}", excerpt::line(&words)))) }
    }
}

/// A program with all that it starts, in a process group of its own; dropped before it has ended, all of them are killed.
struct Group(Child);

impl Group {
    /// How it ends, and the beginning of what it says on standard error.
    async fn end(mut self) -> io::Result<(ExitStatus, Vec<u8>)> {
        let (mut words, stderr) = (Vec::new(), self.0.stderr.take());
        let mut status = None;
        {
            let listen = listen(stderr, &mut words);
            tokio::pin!(listen);
            tokio::select! {
                () = &mut listen => {}
                ended = self.0.wait() => {
                    status = Some(ended?);
                    // Without them it has ended just the same.
                    timeout(LAST_WORDS, listen).await.ok();
                }
            }
        }
        let status = match status {
            Some(status) => status,
            None => self.0.wait().await?,
        };
        Ok((status, words))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its id is known for as long as its end was not seen, and until then it is nobody else's.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            kill_process_group(id, Signal::KILL).ok();
        }
    }
}

/// Keeps the beginning, and reads the rest so that nobody waits for it to be read.
async fn listen(stderr: Option<impl AsyncRead + Unpin>, words: &mut Vec<u8>) {
    let Some(mut stderr) = stderr else { return };
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        let room = excerpt::LIMIT.saturating_sub(words.len());
        words.extend_from_slice(&chunk[..read.min(room)]);
    }
}

#[cfg(test)]
mod tests;
