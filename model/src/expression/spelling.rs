//! What a template writes of a parameter that it does not compute with: the number as the manifest spells it.

use minijinja::Value;

use super::ExpressionFault;
use super::evaluate::Evaluation;
use super::tree::Node;

/// The name for all parameters together.
const PARAMS: &str = "params";

/// The parameter that the node stands for: `fast`, `params.fast` or `params["fast"]`.
fn parameter(node: &Node) -> Option<&str> {
    let is_params = |of: &Node| matches!(of, Node::Name(name) if name == PARAMS);
    match node {
        Node::Name(name) => Some(name),
        Node::Attribute(of, name) if is_params(of) => Some(name),
        Node::Item(of, key) if is_params(of) => match &**key {
            Node::Const(key) => key.as_str(),
            _ => None,
        },
        _ => None,
    }
}

impl Evaluation<'_> {
    /// The node's value as text.
    pub(super) fn printed(&mut self, node: &Node) -> Result<String, ExpressionFault> {
        if let Some(text) = parameter(node).and_then(|name| self.scope.spelling(name)) {
            self.spend(text.len())?;
            return Ok(text);
        }
        if let Node::If { condition, then, otherwise: Some(otherwise) } = node {
            return match self.is_true(condition)? {
                true => self.printed(then),
                false => self.printed(otherwise),
            };
        }
        let value = self.defined(node)?;
        self.text_of(&value)
    }

    /// What a filter makes that only writes its input down.
    pub(super) fn printed_filter(
        &mut self,
        name: &str,
        input: &Node,
        is_bare: bool,
    ) -> Result<Option<String>, ExpressionFault> {
        let text = match name {
            "string" | "tojson" if is_bare => parameter(input).and_then(|name| self.scope.spelling(name)),
            _ => None,
        };
        let is_params = matches!(input, Node::Name(name) if name == PARAMS);
        let text = text.or_else(|| self.scope.json().filter(|_| is_bare && is_params && name == "tojson"));
        if let Some(text) = &text {
            self.spend(text.len())?;
        }
        Ok(text)
    }

    /// A filter's input; the items of a list that is only joined are texts.
    pub(super) fn printed_items(&mut self, filter: &str, input: &Node) -> Result<Value, ExpressionFault> {
        match (filter, input) {
            ("join", Node::List(items)) => {
                let items = items.iter().map(|item| self.printed(item));
                Ok(Value::from(items.collect::<Result<Vec<String>, _>>()?))
            }
            _ => self.value(input),
        }
    }
}
