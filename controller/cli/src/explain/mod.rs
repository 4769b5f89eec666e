// SPDX-License-Identifier: Apache-2.0
//! `torana explain`: where a request would go and why, and if it does not arrive, which object to change. It asks the
//! same translator and the same table that serve. Never sends the request.

mod answer;

mod question;

mod words;

mod judge;

mod streams;

mod cause;

mod policy;

mod detached;

mod query;

mod remote;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use serde_json::Value;
use torana_controller::plane::Plane;
use torana_gateway::table::Table;

use crate::output::{self, Output};
use crate::servers::{Server, settings};

pub use answer::{Answer, BackendStep, Cause};
pub use judge::explain;
pub use question::Question;

/// Arguments of `torana explain`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("asked").required(true)))]
#[command(after_help = "Examples:
  torana explain -f deploy/ https://shop.example.com/cart
  torana explain -f deploy/ http://shop.example.com/ -X POST -H 'X-User: a'
  torana explain --admin 127.0.0.1:15000 http://shop.example.com/    ask a running gateway")]
pub struct ExplainArgs {
    /// The URL that a client would ask for
    #[arg(env = "TORANA_URL")]
    pub url: String,
    /// A folder, a file, or - for standard input; may be given several times
    #[arg(
        short = 'f',
        long = "file",
        value_name = "PATH",
        env = "TORANA_EXPLAIN_FILE",
        value_delimiter = ',',
        group = "asked"
    )]
    pub files: Vec<PathBuf>,
    /// Ask the running gateway that has its admin server here
    #[arg(long, value_name = "ADDRESS", env = "TORANA_EXPLAIN_ADMIN", group = "asked")]
    pub admin: Option<SocketAddr>,
    /// Method of the request
    #[arg(short = 'X', long, default_value = "GET", env = "TORANA_METHOD")]
    pub method: String,
    /// A header of the request, 'Name: value'; may be given several times
    #[arg(short = 'H', long = "header", value_name = "HEADER", env = "TORANA_HEADER", value_delimiter = '\n')]
    pub headers: Vec<String>,
    /// Address that the connection comes from
    #[arg(long, value_name = "ADDRESS", default_value_t = question::SOMEBODY, env = "TORANA_FROM")]
    pub from: IpAddr,
    /// Name in the client's certificate, 'spiffe://…'; may be given several times
    #[arg(long = "identity", value_name = "NAME", env = "TORANA_IDENTITY", value_delimiter = ',')]
    pub identities: Vec<String>,
    /// How to print the answer
    #[arg(short = 'o', long, value_enum, default_value_t = Output::Text, env = "TORANA_OUTPUT")]
    pub output: Output,
}

/// Runs the command; returns the exit code: 1 if the request does not arrive.
pub fn main(args: &ExplainArgs) -> anyhow::Result<u8> {
    let question = Question::new(&args.url, &args.method, &args.headers)?;
    let question = Question { from: args.from, identities: args.identities.clone(), ..question };
    let answer = if let Some(address) = args.admin {
        let headers = args.headers.iter().map(|header| ("header", header.as_str()));
        let identities = args.identities.iter().map(|name| ("identity", name.as_str()));
        let from = args.from.to_string();
        let pairs = [("url", args.url.as_str()), ("method", args.method.as_str()), ("from", &from)];
        remote::ask(address, &query::encode(pairs.into_iter().chain(headers).chain(identities)))?
    } else {
        let plane = Plane::open(&args.files, settings(Server::ADMIN, Server::HEALTH));
        let table = Table::compile(&plane.snapshot(), &Table::empty());
        json(&explain(&table, &plane, &question))?
    };
    let text = match args.output {
        Output::Text => answer["text"].as_str().context("the answer has no text")?.to_owned(),
        Output::Json => serde_json::to_string_pretty(&answer)? + "\n",
    };
    output::print(text.as_bytes())?;
    Ok(u8::from(answer["arrives"] != Value::Bool(true)))
}

/// Answers a question that came as a query, as JSON; an error is one sentence.
pub fn answer(table: &Table, plane: &Plane, query: &str) -> Result<String, String> {
    let (mut url, mut method, mut headers) = (None, "GET".to_owned(), Vec::new());
    let (mut from, mut identities) = (question::SOMEBODY, Vec::new());
    for (name, value) in query::decode(query) {
        match name.as_str() {
            "url" => url = Some(value),
            "method" => method = value,
            "header" => headers.push(value),
            "from" => from = value.parse().map_err(|_| format!("from={value:?} is no address"))?,
            "identity" => identities.push(value),
            _ => return Err(format!("{name:?} is not known: use url, method, header, from and identity")),
        }
    }
    let url = url.ok_or("url is missing: /debug/explain?url=http://example.com/")?;
    let question = Question::new(&url, &method, &headers).map_err(|error| format!("{error:#}"))?;
    let question = Question { from, identities, ..question };
    json(&explain(table, plane, &question)).map(|answer| answer.to_string()).map_err(|error| error.to_string())
}

/// The answer for programs, with the text for people in it.
fn json(answer: &Answer) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(answer)?;
    value["arrives"] = answer.arrives().into();
    value["text"] = answer.to_string().into();
    Ok(value)
}
