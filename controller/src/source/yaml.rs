// SPDX-License-Identifier: Apache-2.0
//! Texts to documents: splitting, parsing within a budget, and the line where a path of a document stands.
//!
//! A file is split before it is parsed, so that a broken document does not take its neighbours along.
//! Never reads a file, never looks at what a document means.

use std::fmt;

use memchr::{memchr_iter, memmem};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Error, MessageFormatter, Options, Spanned, UserMessageFormatter};

/// Deepest nesting of a document: the deepest field of the Gateway API stands at 13.
const DEPTH: usize = 64;
/// Nodes of one document: a `List` of ten thousand routes has about a million.
const NODES: usize = 2_000_000;
/// Aliases of one document; what they stand for is limited by [`COPIES`].
const ALIASES: usize = 1_000;
/// Nodes that aliases may stand for, all together.
const COPIES: usize = 100_000;
/// Bytes of text that a document may hold with its aliases replaced.
const TEXT: usize = 32 << 20;

/// One document of a file, not parsed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    /// Lines of the file before the text.
    pub(super) before: u32,
    /// Its text, with its `---` line.
    pub(super) text: &'a str,
}

/// Why a document cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// Line within the document, from 1.
    pub(super) line: u32,
    /// The parser's reason, on one line.
    pub(super) why: String,
}

/// Splits a text into its documents: concatenated JSON values, or YAML between `---` lines.
pub(super) fn split(text: &str) -> Vec<Chunk<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{')
        && let Some(chunks) = split_json(text)
    {
        return chunks;
    }
    split_yaml(text)
}

/// The values of a JSON text, or `None` if it is not JSON throughout (then it may still be YAML).
fn split_json(text: &str) -> Option<Vec<Chunk<'_>>> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    let (mut chunks, mut start, mut before) = (Vec::new(), 0, 0);
    while let Some(value) = values.next() {
        value.ok()?;
        let chunk = &text[start..values.byte_offset()];
        chunks.push(Chunk { before, text: chunk });
        before += newlines(chunk);
        start = values.byte_offset();
    }
    Some(chunks)
}

/// YAML 1.2 §9.1: a line that starts with `---` begins a document wherever it stands, also inside a quoted text.
fn split_yaml(text: &str) -> Vec<Chunk<'_>> {
    let (mut chunks, mut start, mut before) = (Vec::new(), 0, 0);
    let markers = memmem::find_iter(text.as_bytes(), "\n---").map(|end| end + 1).filter(|at| is_marker(&text[*at..]));
    for at in markers.chain([text.len()]) {
        let chunk = Chunk { before, text: &text[start..at] };
        before += newlines(chunk.text);
        start = at;
        chunks.push(chunk);
    }
    chunks.retain(|chunk| chunk.text.lines().any(has_content));
    chunks
}

/// Whether a text that begins a line begins with a marker.
fn is_marker(text: &str) -> bool {
    text.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Not blank, not a comment, not a directive, not a bare marker.
fn has_content(line: &str) -> bool {
    let bare = if is_marker(line) { line[3..].trim() } else { line.trim() };
    !(bare.is_empty() || bare.starts_with(['#', '%']) || bare == "...")
}

fn newlines(text: &str) -> u32 {
    u32::try_from(memchr_iter(b'\n', text.as_bytes()).count()).unwrap_or(u32::MAX)
}

impl Chunk<'_> {
    /// The line of the text where its content starts, from 1.
    pub(super) fn line(&self) -> u32 {
        let lead = self.text.lines().position(has_content).unwrap_or_default();
        u32::try_from(lead).unwrap_or_default() + 1
    }
}

/// Parses one document; `None` if it holds nothing.
pub(super) fn parse(text: &str) -> Result<Option<Value>, Broken> {
    match serde_saphyr::from_str_with_options(text, options()) {
        Ok(Value::Null) => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(broken(&error)),
    }
}

/// For each path (`spec.rules[0].matches`) the line of `text`, from 1, where it or its nearest ancestor stands.
pub(super) fn lines(text: &str, paths: &[String]) -> Vec<u32> {
    match serde_saphyr::from_str_with_options::<Spanned<Node>>(text, options()) {
        Ok(root) => paths.iter().map(|path| line_of(&root, path)).collect(),
        Err(_) => vec![1; paths.len()],
    }
}

fn line_of(root: &Spanned<Node>, path: &str) -> u32 {
    let mut line = root.referenced.line();
    let (mut node, mut rest) = (&root.value, path);
    while let Some(step) = step(node, rest) {
        (node, rest) = (step.node, step.rest);
        if step.line > 0 {
            line = step.line;
        }
    }
    u32::try_from(line).unwrap_or(1).max(1)
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH,
            flow_nesting_limit: DEPTH,
            max_nodes: NODES,
            max_events: 2 * NODES,
            max_aliases: ALIASES,
            max_anchors: ALIASES,
            max_documents: 1,
            max_total_scalar_bytes: TEXT,
            max_recorded_anchor_events: COPIES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: COPIES,
            max_replay_stack_depth: 16,
        },
        // As kubectl reads it (YAML 1.1 numbers and booleans).
        legacy_octal_numbers: true,
        emit_comments: false,
    }
}

fn broken(error: &serde_saphyr::Error) -> Broken {
    let line = error.location().map_or(1, |location| location.line());
    // Aliases wrap the error that they lead to.
    let mut cause = error.without_snippet();
    while let Error::AliasError { error, .. } = cause {
        cause = error.without_snippet();
    }
    let why = match cause {
        Error::Budget { .. } => "it has too many nodes, levels or aliases".to_owned(),
        _ => UserMessageFormatter.format_message(cause).lines().next().unwrap_or_default().trim().to_owned(),
    };
    Broken { line: u32::try_from(line).unwrap_or(1).max(1), why }
}

/// A document as lines: what [`lines`] walks.
enum Node {
    Leaf,
    Sequence(Vec<Spanned<Self>>),
    Mapping(Vec<Field>),
}

type Field = (Spanned<String>, Spanned<Node>);

/// One step along a path.
struct Step<'n, 'p> {
    /// Where it leads.
    node: &'n Node,
    /// The line where that stands: its key's, in a mapping.
    line: u64,
    /// What is left of the path.
    rest: &'p str,
}

fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<Step<'n, 'p>> {
    match node {
        Node::Leaf => None,
        Node::Sequence(items) => {
            let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
            let item = items.get(index.parse::<usize>().ok()?)?;
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            Some(Step { node: &item.value, line: item.referenced.line(), rest })
        }
        Node::Mapping(fields) => {
            let steps = fields.iter().filter_map(|field| Some((field, after(path, &field.0.value)?)));
            let ((key, value), rest) = steps.max_by_key(|((key, _), _)| key.value.len())?;
            Some(Step { node: &value.value, line: key.referenced.line(), rest })
        }
    }
}

/// What follows `key` in `path`, if the path starts with it: `key`, `["key"]` or `[key]`. Keys may hold dots.
fn after<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let quoted = || path.strip_prefix("[\"")?.strip_prefix(key)?.strip_prefix("\"]");
    let bare = || path.strip_prefix('[')?.strip_prefix(key)?.strip_prefix(']');
    let rest = path.strip_prefix(key).or_else(quoted).or_else(bare)?;
    match rest.as_bytes().first() {
        None | Some(b'[') => Some(rest),
        Some(b'.') => Some(&rest[1..]),
        Some(_) => None,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

macro_rules! leaves {
    ($($name:ident: $type:ty),+) => {$(
        fn $name<E>(self, _: $type) -> Result<Node, E> {
            Ok(Node::Leaf)
        }
    )+};
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML node")
    }

    leaves!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_i128: i128, visit_u128: u128, visit_f64: f64);
    leaves!(visit_str: &str, visit_bytes: &[u8]);

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Node::Mapping(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = "---\n# a route\nkind: HTTPRoute\nmetadata:\n  annotations:\n    a.b/c: x\nspec:\n  rules:\n  \
        - matches:\n    - path:\n        type: Exact\n        value: /a\n  - filters: []\n";

    #[test]
    fn documents_begin_at_markers_and_know_their_lines() {
        let text = "# head\n\na: 1\n---\n# only a comment\n--- # two\nb: 2\n---\n\nc: |\n  ---\n  d\n";
        let chunks = split(text);
        let lines: Vec<_> = chunks.iter().map(|chunk| chunk.before + chunk.line()).collect();
        assert_eq!(lines, [3, 7, 10]);
        assert_eq!(parse(chunks[2].text).unwrap().unwrap()["c"], "---\nd\n");
    }

    #[test]
    fn json_values_may_follow_each_other() {
        let chunks = split("{\n\t\"a\": 1\n}\n{\"b\": \"\\u00e4\\/\"}");
        assert_eq!(chunks.iter().map(|chunk| chunk.before + chunk.line()).collect::<Vec<_>>(), [1, 4]);
        assert_eq!(parse(chunks[0].text).unwrap().unwrap()["a"], 1);
        assert_eq!(parse(chunks[1].text).unwrap().unwrap()["b"], "ä/");
    }

    #[test]
    fn flow_yaml_is_not_mistaken_for_json() {
        let chunks = split("{a: 1}\n---\nb: 2\n");
        assert_eq!(chunks.len(), 2);
        assert_eq!(parse(chunks[0].text).unwrap().unwrap()["a"], 1);
    }

    #[test]
    fn a_path_is_found_on_the_line_of_its_key() {
        let rows = [
            ("kind", 3),
            ("metadata.annotations.a.b/c", 6),
            ("metadata.annotations[\"a.b/c\"]", 6),
            ("spec.rules[0]", 9),
            ("spec.rules[0].matches[0].path.value", 12),
            ("spec.rules[0].matches[0].path.nothing", 10),
            ("spec.rules[1].filters", 13),
            ("spec.rules[7]", 8),
            ("status", 3),
        ];
        for (path, line) in rows {
            assert_eq!(lines(ROUTE, &[path.to_owned()]), [line], "{path}");
        }
    }

    #[test]
    fn a_syntax_error_says_its_line() {
        let broken = parse("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(broken.line >= 2 && !broken.why.contains('\n'), "{broken:?}");
        assert_eq!(parse("a: 1\na: 2\n").unwrap_err().line, 2);
    }

    #[test]
    fn aliases_cannot_multiply_a_document() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let before = format!("*a{}", level - 1);
            let copies = vec![before; 10].join(", ");
            bomb = format!("{bomb}a{level}: &a{level} [{copies}]\n");
        }
        assert!(parse(&bomb).is_err());

        let long = "x".repeat(1 << 20);
        let copies = vec!["*a"; 900].join(", ");
        let text = format!("a: &a {long}\nb: [{copies}]\n");
        assert!(parse(&text).is_err(), "900 MiB out of 1 MiB");
    }

    #[test]
    fn nesting_is_limited() {
        let deep = format!("a: {}{}", "[".repeat(500), "]".repeat(500));
        assert!(parse(&deep).is_err());
        let block = (0..500).fold(String::new(), |text, level| format!("{text}{}a:\n", " ".repeat(level)));
        assert!(parse(&block).is_err());
    }

    #[test]
    fn an_empty_document_is_no_object() {
        assert_eq!(parse("---\n"), Ok(None));
        assert!(split("# nothing\n---\n...\n").is_empty());
    }
}
