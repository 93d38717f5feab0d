//! What of a template is text and what is an expression.
//!
//! `{{ expression }}` is replaced and `{% raw %}...{% endraw %}` stands for the text in it; every other byte stays as it
//! is, `{#` and `#}` included. Jinja's other statements are refused, since whoever writes them means them.

use crate::expression::{Expression, ExpressionFault};

/// What helps those whose braces belong to another language.
const LITERALLY: &str = "to keep braces as they are, write {{ '{{' }} or {% raw %}...{% endraw %}";
const STATEMENTS: [&str; 26] = [
    "autoescape",
    "block",
    "break",
    "call",
    "continue",
    "do",
    "elif",
    "else",
    "endblock",
    "endcall",
    "endfilter",
    "endfor",
    "endif",
    "endmacro",
    "endraw",
    "endset",
    "endwith",
    "extends",
    "filter",
    "for",
    "from",
    "if",
    "import",
    "include",
    "macro",
    "set",
];

#[derive(Debug)]
pub(super) enum TemplatePart<'s> {
    Text(&'s str),
    Expression(Expression),
}

/// True if all of it is text.
pub(super) fn is_text(source: &str) -> bool {
    !source.contains("{{") && !source.contains("{%")
}

pub(super) fn parse(source: &str) -> Result<Vec<TemplatePart<'_>>, String> {
    let mut parts = Vec::new();
    let (mut text, mut at) = (0, 0);
    while let Some(open) = source[at..].find("{{").into_iter().chain(source[at..].find("{%")).min() {
        let start = at + open;
        let inside = start + 2;
        let (part, end) = if source[start..].starts_with("{{") {
            let length = length_of_expression(&source[inside..])
                .ok_or_else(|| format!("`{{{{` is not followed by a closing `}}}}`; {LITERALLY}"))?;
            let end = inside + length;
            (TemplatePart::Expression(expression(&source[inside..end])?), end + 2)
        } else {
            match raw(&source[inside..])? {
                Some(Raw { before, text, after }) => {
                    (TemplatePart::Text(text), inside + before + text.len() + after)
                }
                None => {
                    at = inside;
                    continue;
                }
            }
        };
        if text < start {
            parts.push(TemplatePart::Text(&source[text..start]));
        }
        parts.push(part);
        (text, at) = (end, end);
    }
    if text < source.len() {
        parts.push(TemplatePart::Text(&source[text..]));
    }
    Ok(parts)
}

/// Up to the `}}` that is neither in quotes nor closes braces of the expression's own.
fn length_of_expression(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut quote, mut braces, mut at) = (None, 0_usize, 0);
    while let Some(&byte) = bytes.get(at) {
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'{') => braces += 1,
            (None, b'}') if braces > 0 => braces -= 1,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            (None, _) => {}
        }
        at += 1;
    }
    None
}

fn expression(source: &str) -> Result<Expression, String> {
    if let Some(sign) = source.chars().next().filter(|sign| ['-', '+'].contains(sign)) {
        return Err(format!(
            "`{{{{{sign}` could be a sign or Jinja's way to cut out spaces; write a space after the braces, as in \
             {{{{ -x }}}}"
        ));
    }
    if source.trim().is_empty() {
        return Err(format!("there is not a name in `{{{{{source}}}}}`; {LITERALLY}"));
    }
    Expression::compile(source)
        .map_err(|fault: ExpressionFault| format!("`{{{{{}}}}}`: {fault}; {LITERALLY}", short(source)))
}

fn short(source: &str) -> String {
    match source.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &source[..end]),
        None => source.to_owned(),
    }
}

/// A text in `{% raw %}`, with the lengths of what is around it.
struct Raw<'s> {
    before: usize,
    text: &'s str,
    after: usize,
}

/// What begins after `{%`: none if it is text.
fn raw(rest: &str) -> Result<Option<Raw<'_>>, String> {
    let Some((word, before)) = statement(rest) else {
        return Ok(None);
    };
    if word != "raw" {
        return match STATEMENTS.contains(&word) {
            true => Err(format!(
                "`{{% {word} %}}` is a statement of Jinja, and templates here have expressions alone; write \
                 {{{{ a if b else c }}}} for a choice, and {{% raw %}}...{{% endraw %}} around what is meant as text"
            )),
            false => Ok(None),
        };
    }
    let mut at = before;
    while let Some(open) = rest[at..].find("{%") {
        let inside = at + open + 2;
        if let Some(("endraw", length)) = statement(&rest[inside..]) {
            let text = &rest[before..at + open];
            return Ok(Some(Raw { before, text, after: 2 + length }));
        }
        at = inside;
    }
    Err("`{% raw %}` is not followed by `{% endraw %}`".to_owned())
}

/// The first word of a statement and the length up to the end of `%}`, if this is one.
fn statement(rest: &str) -> Option<(&str, usize)> {
    let inside = rest.split("%}").next().filter(|inside| inside.len() + 2 <= rest.len())?;
    let body = inside.trim_start_matches(['-', '+']).trim_start();
    let word = body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
    let is_alone = body[word.len()..].trim_matches(['-', '+']).trim().is_empty();
    let is_statement = STATEMENTS.contains(&word) || (word == "raw" && is_alone);
    is_statement.then_some((word, inside.len() + 2))
}
