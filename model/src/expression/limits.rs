//! What an expression may be, counted token by token before anything recurses over it; and what it may make.

use minijinja::machinery::{Token, tokenize};

use super::ExpressionFault;

/// Bytes of one expression.
pub(super) const MAX_SOURCE: usize = 16 << 10;
/// Operators, brackets, filters and attributes. The parser and the destructor of its tree recurse once for each at most.
pub(super) const MAX_OPERATORS: usize = 300;
/// The depth of the tree that is evaluated.
pub(super) const MAX_DEPTH: usize = 50;
/// Brackets in brackets. The parser goes through a dozen functions for each.
pub(super) const MAX_NESTING: usize = 20;
/// Bytes of a single text, and of a list's texts.
pub(super) const MAX_BYTES: usize = 128 << 10;
/// Bytes that one evaluation may read and write in all.
pub(super) const BUDGET: usize = 8 * MAX_BYTES;
/// The same of all templates of a job.
pub(crate) const JOB_BUDGET: usize = 64 * MAX_BYTES;
/// The numbers of `range`.
pub(super) const MAX_RANGE: usize = 1_000;

/// Refuses an expression that is too large to be parsed.
pub(super) fn check(source: &str) -> Result<(), ExpressionFault> {
    if source.len() > MAX_SOURCE {
        let size = source.len();
        return Err(ExpressionFault::new(format!(
            "it has {size} bytes; an expression has {MAX_SOURCE} at most"
        )));
    }
    let (mut operators, mut nesting) = (0, 0_usize);
    for token in tokenize(source, true, Default::default()) {
        let (token, _) = token?;
        operators += usize::from(is_operator(&token));
        match token {
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => nesting += 1,
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
                nesting = nesting.saturating_sub(1);
            }
            _ => {}
        }
        if operators > MAX_OPERATORS {
            return Err(ExpressionFault::new(format!(
                "it has more than {MAX_OPERATORS} operators, the limit; write `x in [...]` for a long list of values"
            )));
        }
        if nesting > MAX_NESTING {
            return Err(ExpressionFault::new(format!(
                "its brackets are nested deeper than {MAX_NESTING}, the limit"
            )));
        }
    }
    Ok(())
}

/// Everything but names, values, and what separates or closes.
fn is_operator(token: &Token<'_>) -> bool {
    match token {
        Token::Ident(word) => ["and", "or", "not", "in", "is", "if", "else"].contains(word),
        Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => false,
        Token::Comma | Token::Colon => false,
        Token::BracketClose | Token::ParenClose | Token::BraceClose => false,
        _ => true,
    }
}
