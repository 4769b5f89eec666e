// SPDX-License-Identifier: Apache-2.0
//! `torana lint`: everything in a set of manifests that is not as hoped, with file and line. It asks the translator
//! that also programs the proxy, so what it says is what would happen. Never starts anything.

use std::io::{self, Write};
use std::path::PathBuf;

use torana_controller::plane::Plane;
use torana_controller::report::Severity;
use torana_controller::source::Finding;

use crate::output::{self, Output};
use crate::servers::{Server, settings};
use crate::sources::Sources;

/// Arguments of `torana lint`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  torana lint -f deploy/                  every finding, exit 1 if one is an error
  torana lint --strict -f a.yaml -f b/    exit 1 also on warnings
  helm template . | torana lint -f - -o json")]
pub struct LintArgs {
    /// What to check.
    #[command(flatten)]
    pub sources: Sources,
    /// Exit 1 also on warnings
    #[arg(long, env = "TORANA_STRICT")]
    pub strict: bool,
    /// How to print findings
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Text, env = "TORANA_OUTPUT")]
    pub output: Output,
}

/// What a lint found.
#[derive(Debug)]
pub struct Verdict {
    /// Ordered by place.
    pub findings: Vec<Finding>,
    /// Objects that would be used.
    pub objects: usize,
}

/// Reads, translates and judges a set of paths, as `run` would with its defaults.
pub fn lint(paths: &[PathBuf]) -> Verdict {
    judge(&Plane::open(paths, settings(Server::ADMIN, Server::HEALTH)))
}

fn judge(plane: &Plane) -> Verdict {
    let mut findings = plane.findings();
    for finding in &mut findings {
        plane.locate(finding);
    }
    findings.sort();
    Verdict { findings, objects: plane.cluster().len() }
}

impl Verdict {
    /// 0 if all is well, 1 on errors, with `strict` also on warnings.
    pub fn code(&self, strict: bool) -> u8 {
        let limit = if strict { Severity::Warning } else { Severity::Error };
        u8::from(self.findings.iter().any(|finding| finding.severity >= limit))
    }

    /// Prints the findings, and for people a summary.
    pub fn print(&self, output: Output, to: &mut impl Write) -> io::Result<()> {
        match output {
            Output::Json => writeln!(to, "{}", serde_json::to_string_pretty(&self.findings)?),
            Output::Text => {
                for finding in &self.findings {
                    writeln!(to, "{finding}")?;
                }
                writeln!(to, "{}", self.summary())
            }
        }
    }

    fn summary(&self) -> String {
        let count = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings, objects) = (count(Severity::Error), count(Severity::Warning), self.objects);
        match (errors, warnings) {
            (0, 0) => format!("✔ {objects} objects, nothing to complain about"),
            (0, _) => format!("✔ {objects} objects, {warnings} warnings"),
            _ => format!("✘ {objects} objects, {errors} errors, {warnings} warnings"),
        }
    }
}

/// Runs the command; returns the exit code.
pub fn main(args: &LintArgs) -> anyhow::Result<u8> {
    let verdict = lint(&args.sources.files);
    let mut text = Vec::new();
    verdict.print(args.output, &mut text)?;
    output::print(&text)?;
    Ok(verdict.code(args.strict))
}

#[cfg(test)]
mod tests;
