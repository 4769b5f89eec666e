// SPDX-License-Identifier: Apache-2.0
//! `torana explain`: where a request would go and why, and if it does not arrive, which object to change. It asks the
//! same translator and the same table that serve. Never sends the request.

mod answer;

mod question;

mod words;

mod judge;

mod cause;

mod detached;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use answer::{Answer, BackendStep, Cause};
pub use judge::explain;
pub use question::Question;

use torana_controller::plane::{Plane, now};
use torana_controller::store::Settings;

use crate::lint::Output;

/// Arguments of `torana explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  torana explain -f deploy/ https://shop.example.com/cart
  torana explain -f deploy/ http://shop.example.com/ -X POST -H 'X-User: a'
  torana explain --admin 127.0.0.1:15000 http://shop.example.com/    ask a running gateway")]
pub struct ExplainArgs {
    /// The URL that a client would ask for
    #[arg(env = "TORANA_URL")]
    pub url: String,
    /// A folder, a file, or - for standard input; may be given several times
    #[arg(short = 'f', long = "file", value_name = "PATH", env = "TORANA_FILE", value_delimiter = ',')]
    pub files: Vec<PathBuf>,
    /// Ask the running gateway that has its admin server here
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "TORANA_ADMIN",
        conflicts_with = "files",
        required_unless_present = "files"
    )]
    pub admin: Option<SocketAddr>,
    /// Method of the request
    #[arg(short = 'X', long, default_value = "GET", env = "TORANA_METHOD")]
    pub method: String,
    /// A header of the request, 'Name: value'; may be given several times
    #[arg(short = 'H', long = "header", value_name = "HEADER", env = "TORANA_HEADER", value_delimiter = '\n')]
    pub headers: Vec<String>,
    /// How to print the answer
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Text, env = "TORANA_OUTPUT")]
    pub output: Output,
}

/// Runs the command; returns the exit code: 1 if the request does not arrive.
pub fn main(args: &ExplainArgs) -> anyhow::Result<u8> {
    let question = Question::new(&args.url, &args.method, &args.headers)?;
    let plane = Plane::open(&args.files, Settings::standalone(now()));
    let answer = explain(&plane, &question);
    match args.output {
        Output::Text => print!("{answer}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(&answer)?),
    }
    Ok(u8::from(!answer.arrives()))
}
