// SPDX-License-Identifier: Apache-2.0
//! One CEL rule of a schema (`x-kubernetes-validations`): compiled at its first use, evaluated on one value. Rules that
//! compare with the stored object (`oldSelf`) are not for here: there is none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use cel::common::types::{CelBool, CelString};
use cel::{Context, Env, ExecutionError, Program};
use serde::Deserialize;

/// A CEL rule.
#[derive(Debug, Deserialize)]
#[serde(from = "RawRule")]
pub(crate) struct Rule {
    source: String,
    message: String,
    is_transition: bool,
    compiled: OnceLock<Result<Program, String>>,
}

#[derive(Deserialize)]
struct RawRule {
    rule: String,
    #[serde(default)]
    message: String,
}

impl From<RawRule> for Rule {
    fn from(raw: RawRule) -> Self {
        let message = match raw.message.split_whitespace().collect::<Vec<_>>().join(" ") {
            empty if empty.is_empty() => format!("rule {}", raw.rule),
            message => message,
        };
        let is_transition = raw.rule.contains("oldSelf");
        Self { source: raw.rule, message, is_transition, compiled: OnceLock::new() }
    }
}

/// What a rule says of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds.
    Holds,
    /// It does not.
    Broken,
    /// The interpreter cannot say, and why.
    Unknown(String),
}

impl Rule {
    /// What the rule demands, on one line.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Whether the rule speaks about a change, not about a value.
    pub(crate) fn is_transition(&self) -> bool {
        self.is_transition
    }

    /// Why the rule does not compile, if it does not.
    #[cfg(test)]
    pub(crate) fn compile_error(&self) -> Option<&str> {
        self.program().err()
    }

    /// The verdict on the value that `context` was made of.
    pub(crate) fn verdict(&self, context: &Context<'_, '_>) -> Verdict {
        let program = match self.program() {
            Ok(program) => program,
            Err(why) => return Verdict::Unknown(why.to_owned()),
        };
        match program.execute(context) {
            Ok(cel::Value::Bool(true)) => Verdict::Holds,
            // An absent field is an error of the rule, and an error refuses the object (KEP-2876).
            Ok(cel::Value::Bool(false)) | Err(ExecutionError::NoSuchKey(_)) => Verdict::Broken,
            Ok(_) => Verdict::Unknown("the rule gives no boolean".to_owned()),
            Err(error) => Verdict::Unknown(one_line(&error.to_string())),
        }
    }

    fn program(&self) -> Result<&Program, &str> {
        let compile = || ENVIRONMENT.compile(&self.source).map_err(|errors| one_line(&errors.to_string()));
        self.compiled.get_or_init(compile).as_ref().map_err(String::as_str)
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

/// The functions of CEL rules in Kubernetes that shipped CRDs use: the standard ones, strings, `isIP`.
pub(crate) static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    [
        cel::extensions::strings(&mut environment),
        cel::add_member_overload!(environment, fn matches: (CelString, CelString) -> Result<CelBool>),
        cel::add_overload!(environment, fn is_ip: (CelString) -> CelBool, name = "isIP"),
    ]
    .into_iter()
    .collect::<Result<(), _>>()
    .expect("each function is declared once");
    Arc::new(environment)
});

/// Expressions by their text; `None` is one that does not compile.
type Expressions = HashMap<String, Option<Arc<regex::Regex>>>;

/// Expressions that rules have named, compiled. A function of CEL is a plain `fn`, so the cache has no other home. It
/// holds what the shipped CRDs say, nothing of users.
static EXPRESSIONS: LazyLock<Mutex<Expressions>> = LazyLock::new(Mutex::default);

/// Replaces the interpreter's own `matches`, which compiles its expression at every call.
fn matches(text: &CelString<'_>, pattern: &CelString<'_>) -> Result<CelBool, ExecutionError> {
    let regex = expression(pattern.inner())
        .ok_or_else(|| ExecutionError::function_error("matches", "not a valid expression"))?;
    Ok(CelBool::from(regex.is_match(text.inner())))
}

fn expression(pattern: &str) -> Option<Arc<regex::Regex>> {
    let mut expressions = EXPRESSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compiled) = expressions.get(pattern) {
        return compiled.clone();
    }
    let compiled = regex::RegexBuilder::new(pattern).size_limit(1 << 20).build().ok().map(Arc::new);
    expressions.insert(pattern.to_owned(), compiled.clone());
    compiled
}

/// `isIP` of Kubernetes: an IPv4 or IPv6 address without zone.
fn is_ip(text: &CelString<'_>) -> CelBool {
    CelBool::from(text.inner().parse::<IpAddr>().is_ok())
}
