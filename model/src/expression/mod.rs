//! The expressions of `{{ ... }}` and `where`: Jinja's, written by anybody who can send a manifest or a filter.
//!
//! Every expression of btctl is compiled and evaluated here, in the client, the coordinator and the agent alike.
//! What always holds, whatever the text says:
//! - its length, its operators and its nesting are counted before it is parsed, so that no recursion runs out of stack;
//! - it has no loops, so that its steps are bounded by its length;
//! - each text or list is measured before it is made, and all of one evaluation share a budget of bytes.
//!
//! minijinja parses, and its values and filters compute. Its virtual machine is not used: it would make a text of
//! 100 MB from `"x" * 100000000`, and its order of values sorts numbers and texts by their type.

mod evaluate;
mod filters;
mod limits;
mod lower;
mod operators;
mod spelling;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use limits::JOB_BUDGET;

use std::collections::BTreeSet;

use minijinja::Value;

use self::tree::Node;

/// Why an expression can't be compiled or evaluated, in one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ExpressionFault {
    message: String,
    /// The name that has no value, if that is what is wrong.
    pub(crate) undefined: Option<String>,
}

impl ExpressionFault {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), undefined: None }
    }

    fn undefined(name: &str) -> Self {
        Self { message: format!("`{name}` is undefined"), undefined: Some(name.to_owned()) }
    }
}

impl From<minijinja::Error> for ExpressionFault {
    fn from(error: minijinja::Error) -> Self {
        let text = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Self::new(text.lines().collect::<Vec<_>>().join(" "))
    }
}

/// The values that names stand for.
pub(crate) trait Scope {
    fn value(&self, name: &str) -> Option<Value>;

    /// A parameter's number as the manifest writes it: `1.10`, where the value is 1.1.
    fn spelling(&self, _parameter: &str) -> Option<String> {
        None
    }

    /// All parameters as JSON.
    fn json(&self) -> Option<String> {
        None
    }
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Expression {
    root: Node,
    names: BTreeSet<String>,
    paths: BTreeSet<String>,
}

impl Expression {
    pub(crate) fn compile(source: &str) -> Result<Self, ExpressionFault> {
        limits::check(source)?;
        let root = lower::lower(&minijinja::machinery::parse_expr(source)?)?;
        let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
        root.collect_names(&mut names, &mut paths);
        Ok(Self { root, names, paths })
    }

    /// The names that it looks up.
    pub(crate) fn names(&self) -> &BTreeSet<String> {
        &self.names
    }

    /// The names with the attributes that follow them: `metrics.dd.max`.
    pub(crate) fn paths(&self) -> &BTreeSet<String> {
        &self.paths
    }

    pub(crate) fn evaluate(&self, scope: &dyn Scope) -> Result<Value, ExpressionFault> {
        evaluate::value(&self.root, scope)
    }

    /// The value as a template writes it. `bytes` is what all expressions of a job may still read and write.
    pub(crate) fn text(&self, scope: &dyn Scope, bytes: &mut usize) -> Result<String, ExpressionFault> {
        evaluate::text(&self.root, scope, bytes)
    }

    /// The name, if the expression is a name and nothing else.
    pub(crate) fn as_name(&self) -> Option<&str> {
        match &self.root {
            Node::Name(name) => Some(name),
            _ => None,
        }
    }
}
