// SPDX-License-Identifier: Apache-2.0
//! Commands in documents. A block ```` ```sh ```` after a line `<!-- run -->` is run as it stands, with `torana` on the
//! PATH; in every other block the verbs of `./dev` and the commands and long flags of `torana` must exist.

mod deploy;

mod readme;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use crate::house::source::{files, root};

/// Seconds that one block may take.
const PATIENCE: &str = "60";

/// A fenced block of shell commands.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    document: String,
    line: usize,
    run: bool,
    text: String,
}

fn blocks(document: &str, text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    let mut run = false;
    for (at, line) in text.lines().enumerate() {
        match (&mut open, line.trim()) {
            (None, "<!-- run -->") => run = true,
            (None, "```sh") => {
                open = Some(Block { document: document.to_owned(), line: at + 1, run, text: String::new() });
            }
            (None, "") => {}
            (None, _) => run = false,
            (Some(_), "```") => {
                found.extend(open.take());
                run = false;
            }
            (Some(block), _) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
        }
    }
    found
}

/// The commands of each block of one document.
pub(crate) fn commands_of(document: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    blocks(document, &text).into_iter().map(|block| block.text).collect()
}

fn all_blocks() -> Vec<Block> {
    let documents =
        files(root()).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let found = documents.flat_map(|path| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        blocks(&name, &fs::read_to_string(&path).unwrap())
    });
    found.collect()
}

/// The folder of the `torana` under test.
fn bin() -> PathBuf {
    let mut path = std::env::var_os("TORANA_BIN").map_or_else(|| std::env::current_exe().unwrap(), PathBuf::from);
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    assert!(path.join("torana").exists(), "build it first: cargo build --profile ci -p torana-cli");
    path
}

/// Commands in the checkout, with `torana` on the PATH.
pub(crate) fn bash(script: &str) -> Command {
    let path = format!("{}:{}", bin().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", script]).current_dir(root()).env("PATH", path);
    command
}

fn shell(script: &str) -> Output {
    let limit = r#"exec timeout --kill-after=5 "$0" bash -euo pipefail -c "$1""#;
    bash(limit).args([PATIENCE, script]).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The first words of the lines of `help` that begin, after blanks, with `prefix`.
fn listed(help: &str, prefix: &str) -> BTreeSet<String> {
    let lines = help.lines().filter_map(|line| line.trim_start().strip_prefix(prefix));
    lines.filter_map(|rest| rest.split_whitespace().next()).map(str::to_owned).collect()
}

/// Commands of `torana`, each with its help.
fn commands() -> BTreeMap<String, String> {
    let help = text(&shell("torana --help"));
    let section = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("commands");
    let names = listed(section, "");
    names.into_iter().map(|name| (name.clone(), text(&shell(&format!("torana {name} --help"))))).collect()
}

/// What is wrong with the commands of one line.
fn unknown(line: &str, verbs: &BTreeSet<String>, commands: &BTreeMap<String, String>) -> Vec<String> {
    let line = line.split(" #").next().unwrap_or_default();
    let mut found = Vec::new();
    for part in line.split(['|', '&', ';', '(']) {
        let mut words = part.split_whitespace().skip_while(|word| word.contains('=') || *word == "$");
        match (words.next(), words.next()) {
            (Some("./dev"), Some(verb)) if !verbs.contains(verb) => found.push(format!("./dev {verb}")),
            (Some("torana"), Some(name)) if !name.starts_with('-') => match commands.get(name) {
                None => found.push(format!("torana {name}")),
                Some(help) => {
                    let flags = words.filter(|word| word.starts_with("--"));
                    let flags = flags.map(|flag| flag.split('=').next().unwrap_or(flag));
                    found.extend(flags.filter(|flag| !help.contains(flag)).map(|flag| format!("torana {name} {flag}")));
                }
            },
            _ => {}
        }
    }
    found
}

#[test]
fn every_command_in_a_document_exists() {
    let verbs = listed(&text(&shell("./dev help")), "./dev ");
    let commands = commands();
    assert!(verbs.contains("demo") && commands.contains_key("echo"), "{verbs:?} {:?}", commands.keys());
    let mut found = Vec::new();
    for block in all_blocks() {
        for line in block.text.lines() {
            let missing = unknown(line, &verbs, &commands);
            found.extend(missing.iter().map(|what| format!("{}:{}: there is no {what}", block.document, block.line)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn every_verb_that_help_names_is_obeyed() {
    let verbs = listed(&text(&shell("./dev help")), "./dev ");
    let script = fs::read_to_string(root().join("dev")).unwrap();
    let (_, main) = script.split_once("\nmain() {").unwrap();
    let words: BTreeSet<_> = main.split([' ', '|', ')', '\n']).collect();
    let missing: Vec<_> = verbs.iter().filter(|verb| !words.contains(verb.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Paths into the checkout that a text names between backticks.
fn paths(text: &str) -> Vec<&str> {
    let top = ["crds/", "gateway/", "controller/", "tests/", "deploy/"];
    // Every second piece stands between two backticks.
    let quoted = text.split('`').skip(1).step_by(2);
    let plain = |path: &&str| top.iter().any(|top| path.starts_with(top)) && !path.contains(['<', '*', ' ', '{', '…']);
    quoted.filter(plain).collect()
}

#[test]
fn every_path_in_the_readme_exists() {
    let text = fs::read_to_string(root().join("README.md")).unwrap().replace("```", "");
    let found = paths(&text);
    assert!(found.len() > 20, "{found:?}");
    let missing: Vec<&&str> = found.iter().filter(|path| !root().join(path).exists()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn blocks_that_can_run_do_what_they_say() {
    let blocks: Vec<Block> = all_blocks().into_iter().filter(|block| block.run).collect();
    assert!(!blocks.is_empty(), "no document has a block that runs");
    for block in blocks {
        let output = shell(&block.text);
        assert!(output.status.success(), "{}:{}\n{}{}", block.document, block.line, block.text, text(&output));
    }
}

#[test]
fn blocks_are_found_and_unknown_commands_are_seen() {
    let found = blocks("a.md", "x\n\n<!-- run -->\n```sh\ntorana version\n```\n```sh\n./dev nope\n```\n");
    assert_eq!(found.iter().map(|block| (block.line, block.run)).collect::<Vec<_>>(), [(4, true), (7, false)]);
    let verbs = BTreeSet::from(["demo".to_owned()]);
    let commands = BTreeMap::from([("echo".to_owned(), "--port <PORT>".to_owned())]);
    let line = "A=b torana echo --port=1 --nope && ./dev demo; ./dev nope | torana fly # torana crawl";
    assert_eq!(unknown(line, &verbs, &commands), ["torana echo --nope", "./dev nope", "torana fly"]);
}
