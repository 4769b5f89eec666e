// SPDX-License-Identifier: Apache-2.0
//! Expressions (CEL) about a request or a stream that is over, as Envoy evaluates them: names of attributes are looked up
//! when one is compiled, and so are regular expressions. The cost is bounded: there are no loops, and each part of an
//! expression is evaluated at most once.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cel::common::ast::{CallExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr, operators};
use cel::common::types::{CelBool, CelDuration, CelInt, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use cel::{Context, Env, Program, Value};
use serde::{Deserialize, Serialize};

use crate::attribute::Attribute;
use crate::pattern;

/// Most bytes of an expression.
pub const LONGEST_EXPRESSION: usize = 4 << 10;

/// Most parts of one: literals, attributes, operators, calls.
const MOST_PARTS: usize = 256;

/// Functions besides operators. None makes more of a text than was there.
const FUNCTIONS: [&str; 10] =
    ["size", "contains", "startsWith", "endsWith", "matches", "string", "int", "uint", "double", "duration"];

/// Operators; `+` is not for texts in Envoy, and costs no more than they are long.
const OPERATORS: [&str; 18] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
];

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It is none.
    #[error("it is no expression: {0}")]
    Syntax(String),
    /// It is longer than [`LONGEST_EXPRESSION`], or of more parts than are evaluated.
    #[error("it is too long")]
    TooLong,
    /// It asks for something that is not there.
    #[error("{0} is no attribute here")]
    Attribute(String),
    /// It calls something that is not there.
    #[error("{0} is not evaluated here")]
    Unsupported(String),
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<'f> {
    /// A text.
    Text(Cow<'f, str>),
    /// A number.
    Number(i64),
    /// A truth value.
    Flag(bool),
    /// A duration.
    Time(Duration),
}

/// A checked expression. One that this version does not know is kept and true of everything: whoever sends it knows more.
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Expression {
    source: String,
    compiled: Option<Arc<Compiled>>,
}

/// What is evaluated: names stand in it for attributes and regular expressions, by their places.
struct Compiled {
    root: IdedExpr,
    attributes: Vec<Attribute>,
    patterns: Vec<Pattern>,
}

impl Expression {
    /// Reads and checks an expression.
    pub fn new(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > LONGEST_EXPRESSION {
            return Err(ExpressionError::TooLong);
        }
        let program = Program::compile(source).map_err(|errors| ExpressionError::Syntax(one_line(&errors)))?;
        let mut reading = Reading::default();
        let root = reading.expression(program.expression())?;
        let Reading { attributes, patterns, .. } = reading;
        Ok(Self { source: source.to_owned(), compiled: Some(Arc::new(Compiled { root, attributes, patterns })) })
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// What it asks for.
    pub fn attributes(&self) -> &[Attribute] {
        self.compiled.as_ref().map(|it| it.attributes.as_slice()).unwrap_or_default()
    }

    /// Whether it is true, given what its attributes are, each at its place. What asks for one that is absent is not, as
    /// in Envoy, unless something else decides.
    pub fn holds(&self, facts: &[Option<Fact<'_>>]) -> bool {
        let Some(compiled) = &self.compiled else { return true };
        let scene = Scene { facts, patterns: &compiled.patterns };
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&scene);
        matches!(Value::resolve(&compiled.root, &context), Ok(Value::Bool(true)))
    }
}

/// The whole of an expression that is one text or one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Single {
    Text(String),
    Attribute(Attribute),
}

/// Reads an expression that is one text or one attribute, perhaps as `string(…)`; `None` if it is more.
pub(crate) fn single(source: &str) -> Option<Single> {
    fn of(expr: &Expr) -> Option<Single> {
        match expr {
            Expr::Literal(LiteralValue::String(text)) => Some(Single::Text(text.inner().to_owned())),
            Expr::Call(call) if call.func_name == "string" && call.target.is_none() => match call.args.as_slice() {
                [only] => of(&only.expr),
                _ => None,
            },
            other => Attribute::of(&words(other)?).map(Single::Attribute),
        }
    }
    let program = (source.len() <= LONGEST_EXPRESSION).then(|| Program::compile(source).ok())??;
    of(&program.expression().expr)
}

fn one_line(errors: &cel::ParseErrors) -> String {
    errors.to_string().split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}

// === reading ===

/// What begins names that stand for an attribute, for whether it is there, and for a regular expression. No name that is
/// written begins so.
const FACT: &str = "@";
const PRESENCE: &str = "?";
const PATTERN: &str = "/";

#[derive(Default)]
struct Reading {
    attributes: Vec<Attribute>,
    patterns: Vec<Pattern>,
    parts: usize,
}

impl Reading {
    fn expression(&mut self, it: &IdedExpr) -> Result<IdedExpr, ExpressionError> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(ExpressionError::TooLong);
        }
        let expr = match &it.expr {
            Expr::Literal(_) => it.expr.clone(),
            Expr::List(list) if list.optional_indices.is_empty() => {
                Expr::List(ListExpr::new(self.expressions(&list.elements)?))
            }
            Expr::Call(call) => self.call(call)?,
            Expr::Ident(name) => return Err(ExpressionError::Attribute(name.clone())),
            Expr::Select(select) => self.select(select)?,
            _ => return Err(ExpressionError::Unsupported("a loop, a map or a message".to_owned())),
        };
        Ok(IdedExpr { id: it.id, expr })
    }

    fn expressions(&mut self, all: &[IdedExpr]) -> Result<Vec<IdedExpr>, ExpressionError> {
        all.iter().map(|it| self.expression(it)).collect()
    }

    fn select(&mut self, select: &SelectExpr) -> Result<Expr, ExpressionError> {
        let mut words = words(&select.operand.expr).unwrap_or_default();
        words.push(&select.field);
        let attribute = Attribute::of(&words).ok_or_else(|| ExpressionError::Attribute(words.join(".")))?;
        Ok(self.stands_for(if select.test { PRESENCE } else { FACT }, attribute))
    }

    fn call(&mut self, call: &CallExpr) -> Result<Expr, ExpressionError> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [map, name]) => return self.header(FACT, map, name),
            (operators::IN, [name, map]) if is_headers(map) => return self.header(PRESENCE, map, name),
            ("matches", [pattern]) if let Some(text) = &call.target => return self.matches(text, pattern),
            ("matches", [text, pattern]) if call.target.is_none() => return self.matches(text, pattern),
            (name, _) if OPERATORS.contains(&name) || FUNCTIONS.contains(&name) => {}
            (name, _) => return Err(ExpressionError::Unsupported(name.chars().take(40).collect())),
        }
        let target = call.target.as_ref().map(|target| self.expression(target)).transpose()?.map(Box::new);
        Ok(Expr::Call(CallExpr { func_name: call.func_name.clone(), target, args: self.expressions(&call.args)? }))
    }

    fn header(&mut self, what: &str, map: &IdedExpr, name: &IdedExpr) -> Result<Expr, ExpressionError> {
        let unknown = || ExpressionError::Unsupported("what is looked up by no literal in request.headers".to_owned());
        let name = literal(name).filter(|_| is_headers(map)).ok_or_else(unknown)?;
        let none = || ExpressionError::Attribute(format!("request.headers[{name:?}]"));
        let attribute = Attribute::header(name).ok_or_else(none)?;
        Ok(self.stands_for(what, attribute))
    }

    /// Finds a part of the text, as Envoy and CEL do.
    fn matches(&mut self, text: &IdedExpr, pattern: &IdedExpr) -> Result<Expr, ExpressionError> {
        let unknown = || ExpressionError::Unsupported("matches with an expression that is no literal".to_owned());
        let written = literal(pattern).ok_or_else(unknown)?;
        let regex = pattern::found(written).map_err(|error| ExpressionError::Syntax(error.to_string()))?;
        let name = format!("{PATTERN}{}", self.patterns.len());
        self.patterns.push(Pattern(regex));
        let args = vec![IdedExpr { id: pattern.id, expr: Expr::Ident(name) }];
        let target = Some(Box::new(self.expression(text)?));
        Ok(Expr::Call(CallExpr { func_name: "matches".to_owned(), target, args }))
    }

    fn stands_for(&mut self, what: &str, attribute: Attribute) -> Expr {
        let known = self.attributes.iter().position(|it| *it == attribute);
        let place = known.unwrap_or_else(|| {
            self.attributes.push(attribute);
            self.attributes.len() - 1
        });
        Expr::Ident(format!("{what}{place}"))
    }
}

/// `a.b.c` as its words.
fn words(expr: &Expr) -> Option<Vec<&str>> {
    match expr {
        Expr::Ident(name) => Some(vec![name]),
        Expr::Select(select) if !select.test => {
            let mut words = words(&select.operand.expr)?;
            words.push(&select.field);
            Some(words)
        }
        _ => None,
    }
}

fn is_headers(map: &IdedExpr) -> bool {
    words(&map.expr).is_some_and(|words| Attribute::are_headers(&words))
}

fn literal(it: &IdedExpr) -> Option<&str> {
    match &it.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

// === evaluating ===

/// CEL's own functions, and `matches` with what is compiled.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    cel::add_member_overload!(environment, fn matches: (CelString, Pattern) -> CelBool).expect("it is declared once");
    Arc::new(environment)
});

/// A regular expression among values.
#[derive(Debug, Clone)]
struct Pattern(regex::Regex);

static PATTERN_TYPE: Type = Type::new_unspecified_type("pattern");

impl Val for Pattern {
    fn get_type(&self) -> &Type {
        &PATTERN_TYPE
    }

    fn cel_type() -> &'static Type {
        &PATTERN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }
}

impl StaticVal for Pattern {}

fn matches(text: &CelString<'_>, pattern: &Pattern) -> CelBool {
    CelBool::from(pattern.0.is_match(text.inner()))
}

struct Scene<'s> {
    facts: &'s [Option<Fact<'s>>],
    patterns: &'s [Pattern],
}

impl VariableResolver for Scene<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let (what, place) = variable.split_at_checked(1)?;
        let place: usize = place.parse().ok()?;
        if what == PATTERN {
            return self.patterns.get(place).map(|it| CowVal::Borrowed(it));
        }
        let fact = self.facts.get(place)?.as_ref();
        if what == PRESENCE {
            return Some(CowVal::owned(CelBool::from(fact.is_some())));
        }
        Some(match fact? {
            Fact::Text(text) => CowVal::owned(CelString::from(&**text)),
            Fact::Number(number) => CowVal::owned(CelInt::from(*number)),
            Fact::Flag(flag) => CowVal::owned(CelBool::from(*flag)),
            Fact::Time(time) => {
                CowVal::owned(CelDuration::from(chrono::Duration::from_std(*time).unwrap_or(chrono::Duration::MAX)))
            }
        })
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.source)
    }
}

impl From<String> for Expression {
    fn from(source: String) -> Self {
        Self::new(&source).unwrap_or(Self { source, compiled: None })
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.source
    }
}

#[cfg(test)]
mod tests;
