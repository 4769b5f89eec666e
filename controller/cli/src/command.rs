// SPDX-License-Identifier: Apache-2.0
//! The tree of commands: which one was asked for, and its exit code. Never does a command's work.

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::certs::{self, CertsArgs};
use crate::controller::{self, ControllerArgs};
use crate::echo::{self, EchoArgs};
use crate::explain::{self, ExplainArgs};
use crate::lint::{self, LintArgs};
use crate::output;
use crate::run::{self, RunArgs};
use crate::version;

/// A Kubernetes edge gateway: Gateway API in, a strict and fast proxy out.
#[derive(Debug, Parser)]
#[command(name = "torana", version, long_version = version::LONG, arg_required_else_help = true)]
#[command(after_help = "Examples:
  torana run -f deploy/                   serve what the manifests say
  torana lint -f deploy/                  check manifests
  torana explain -f deploy/ http://a/b    where a request would go, and why
  torana certs                            certificates by ACME
  torana echo --port 9001 --name v1       a sample backend
  torana completion bash                  completions for a shell

Every flag has an environment variable; `torana COMMAND --help` names it.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve: the gateway in one process, programmed by manifests
    Run(Box<RunArgs>),
    /// Check manifests: everything that is not as hoped, with file and line
    Lint(LintArgs),
    /// Tell where a request would go and why, and if it does not arrive, what to change
    Explain(ExplainArgs),
    /// In a cluster: program the proxies of every Gateway, and write status
    Controller(Box<ControllerArgs>),
    /// Certificates by ACME: how each stands, and why one is not there
    Certs(CertsArgs),
    /// Sample backend: returns the request as JSON (HTTP/1, h2c, gRPC, WebSocket)
    Echo(EchoArgs),
    /// Print completions for a shell
    #[command(after_help = "Examples:
  source <(torana completion bash)
  torana completion zsh > ~/.zfunc/_torana
  torana completion fish > ~/.config/fish/completions/torana.fish")]
    Completion {
        /// Which shell
        #[arg(env = "TORANA_SHELL")]
        shell: Shell,
    },
    /// Print the version
    Version,
}

/// Reads the arguments of the process and does what they ask.
pub fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("✘ {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Command {
    /// The exit code, or why the command could not do its work.
    fn run(self) -> anyhow::Result<u8> {
        match self {
            Self::Run(args) => return run::main(&args),
            Self::Lint(args) => return lint::main(&args),
            Self::Explain(args) => return explain::main(&args),
            Self::Controller(args) => return controller::main(&args),
            Self::Certs(args) => return runtime()?.block_on(certs::main(args)),
            Self::Echo(args) => runtime()?.block_on(echo::run(args))?,
            Self::Completion { shell } => complete(shell)?,
            Self::Version => version::print()?,
        }
        Ok(0)
    }
}

/// `clap_complete` panics when its writer fails, so it writes into memory.
fn complete(shell: Shell) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "torana", &mut script);
    output::print(&script)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
                let name = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
                assert!(name.starts_with("TORANA_"), "{} {}", command.get_name(), argument.get_id());
            }
        }
    }
}
