// SPDX-License-Identifier: Apache-2.0
//! The binary `torana-gateway`: the data plane alone, programmed by a controller elsewhere. Not ready before its first
//! table; serves without its controller for as long as it must.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;

use crate::app::{App, Ending, Serving, until_signal};
use crate::feed;
use crate::feed::remote::{self, Remote};

/// Torana's proxy: serves what a controller tells it to.
#[derive(Debug, Parser)]
#[command(name = "torana-gateway", version)]
#[command(after_help = "Example:
  torana-gateway --feed torana.torana-system.svc:15012 --feed-ca /run/torana/ca/ca.crt \\
    --feed-token /run/torana/token/token --state-dir /run/torana/state

SIGTERM or Ctrl-C ends it with grace, a second one at once.")]
struct Arguments {
    /// Who programs it.
    #[command(flatten)]
    remote: Remote,
    /// How to serve it.
    #[command(flatten)]
    serving: Serving,
}

/// Does what the arguments of the process say.
pub fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("✘ {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { remote, serving } = arguments;
    let logging = serving.logging()?;
    let (publisher, feed) = feed::channel();
    let app = App::start(serving.config(&logging), feed).context("cannot start")?;
    // Apart from the control runtime: reading a large generation delays no probe.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(until_signal(&app, remote::run(remote, publisher)))? {
        Ending::Alone(ended) => bail!(ended),
        Ending::Drained(_) => Ok(ExitCode::SUCCESS),
        Ending::Interrupted => Ok(ExitCode::FAILURE),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_sound_and_every_one_has_a_variable() {
        let command = Arguments::command();
        command.clone().debug_assert();
        for argument in command.get_arguments().filter(|it| !["help", "version"].contains(&it.get_id().as_str())) {
            assert!(argument.get_env().is_some(), "{argument}");
        }
    }
}
