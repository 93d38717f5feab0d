//! From the parser's tree to the one that is evaluated: what btctl's expressions don't have is refused here.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{BinOpKind, CallArg, CompareOpKind, Expr, UnaryOpKind};

use super::limits::MAX_DEPTH;
use super::tree::{Argument, Arithmetic, CompareOp, Node};
use super::{ExpressionFault, filters};

pub(super) fn lower(expr: &Expr<'_>) -> Result<Node, ExpressionFault> {
    lower_at(expr, 0)
}

/// `depth` is the node's depth in the tree; operands of `and` and `or` are at one depth.
fn lower_at(expr: &Expr<'_>, depth: usize) -> Result<Node, ExpressionFault> {
    if depth > MAX_DEPTH {
        return Err(ExpressionFault::new(format!("its parts are nested deeper than {MAX_DEPTH}, the limit")));
    }
    let depth = depth + 1;
    let lower = |expr: &Expr<'_>| lower_at(expr, depth);
    let boxed = |expr: &Expr<'_>| lower(expr).map(Box::new);
    let all = |items: &[Expr<'_>]| items.iter().map(lower).collect::<Result<Vec<_>, _>>();
    let arguments = |args: &[CallArg<'_>]| arguments(args, depth);
    let maybe = |expr: &Option<Expr<'_>>| expr.as_ref().map(boxed).transpose();
    Ok(match expr {
        Expr::Var(name) => Node::Name(name.id.to_owned()),
        Expr::Const(constant) => Node::Const(constant.value.clone()),
        Expr::GetAttr(get) => Node::Attribute(boxed(&get.expr)?, get.name.to_owned()),
        Expr::GetItem(get) => Node::Item(boxed(&get.expr)?, boxed(&get.subscript_expr)?),
        Expr::Slice(slice) if slice.step.is_none() => {
            Node::Slice(boxed(&slice.expr)?, maybe(&slice.start)?, maybe(&slice.stop)?)
        }
        Expr::Slice(_) => return Err(ExpressionFault::new("a slice has no step; write x[1:3]")),
        Expr::UnaryOp(op) => match op.op {
            UnaryOpKind::Not => Node::Not(boxed(&op.expr)?),
            UnaryOpKind::Neg => Node::Negative(boxed(&op.expr)?),
        },
        Expr::BinOp(op) if matches!(op.op, BinOpKind::ScAnd) => {
            Node::All(chain(expr, BinOpKind::ScAnd, depth)?)
        }
        Expr::BinOp(op) if matches!(op.op, BinOpKind::ScOr) => {
            Node::Any(chain(expr, BinOpKind::ScOr, depth)?)
        }
        Expr::BinOp(op) => binary(op.op, boxed(&op.left)?, lower(&op.right)?),
        Expr::Compare(chain) => {
            let ops = chain.ops.iter().map(|op| Ok((comparison(op.op), lower(&op.expr)?)));
            Node::Compare(boxed(&chain.expr)?, ops.collect::<Result<_, ExpressionFault>>()?)
        }
        Expr::IfExpr(choice) => Node::If {
            condition: boxed(&choice.test_expr)?,
            then: boxed(&choice.true_expr)?,
            otherwise: maybe(&choice.false_expr)?,
        },
        Expr::Filter(filter) => {
            filters::check_name(filter.name)?;
            let Some(input) = &filter.expr else {
                return Err(ExpressionFault::new("a filter follows a value, as in `x | round`"));
            };
            Node::Filter {
                name: filter.name.to_owned(),
                input: boxed(input)?,
                arguments: arguments(&filter.args)?,
            }
        }
        Expr::Test(test) => {
            filters::check_test_name(test.name)?;
            Node::Test {
                name: test.name.to_owned(),
                input: boxed(&test.expr)?,
                arguments: arguments(&test.args)?,
            }
        }
        Expr::Call(call) => match &call.expr {
            Expr::Var(name) if name.id == "range" => Node::Range(arguments(&call.args)?),
            Expr::Var(name) => {
                let name = name.id;
                return Err(ExpressionFault::new(format!(
                    "there is no function `{name}`; {}",
                    filters::remedy(name)
                )));
            }
            Expr::GetAttr(get) => {
                let name = get.name;
                return Err(ExpressionFault::new(format!(
                    "values have no methods; {}",
                    filters::remedy(name)
                )));
            }
            _ => return Err(ExpressionFault::new("only `range(...)` can be called")),
        },
        Expr::List(list) => Node::List(all(&list.items)?),
        Expr::Tuple(tuple) => Node::List(all(&tuple.items)?),
        Expr::Map(map) => {
            let pairs = map.keys.iter().zip(&map.values);
            Node::Map(
                pairs
                    .map(|(key, value)| Ok((lower(key)?, lower(value)?)))
                    .collect::<Result<_, ExpressionFault>>()?,
            )
        }
    })
}

/// The parts of `a and b and c`, which the parser nests to the left.
fn chain(expr: &Expr<'_>, kind: BinOpKind, depth: usize) -> Result<Vec<Node>, ExpressionFault> {
    let (mut parts, mut left) = (Vec::new(), expr);
    while let Expr::BinOp(op) = left
        && std::mem::discriminant(&op.op) == std::mem::discriminant(&kind)
    {
        parts.push(lower_at(&op.right, depth)?);
        left = &op.left;
    }
    parts.push(lower_at(left, depth)?);
    parts.reverse();
    Ok(parts)
}

fn arguments(args: &[CallArg<'_>], depth: usize) -> Result<Vec<Argument>, ExpressionFault> {
    let argument = |arg: &CallArg<'_>| match arg {
        CallArg::Pos(value) => Ok(Argument { name: None, value: lower_at(value, depth)? }),
        CallArg::Kwarg(name, value) => {
            Ok(Argument { name: Some((*name).to_owned()), value: lower_at(value, depth)? })
        }
        CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
            Err(ExpressionFault::new("arguments are written one by one, without `*`"))
        }
    };
    args.iter().map(argument).collect()
}

fn binary(op: BinOpKind, left: Box<Node>, right: Node) -> Node {
    let arithmetic = |op, left, right| Node::Arithmetic(op, left, Box::new(right));
    let compare = |op, left, right| Node::Compare(left, vec![(op, right)]);
    match op {
        BinOpKind::ScAnd => Node::All(vec![*left, right]),
        BinOpKind::ScOr => Node::Any(vec![*left, right]),
        BinOpKind::Add => arithmetic(Arithmetic::Add, left, right),
        BinOpKind::Sub => arithmetic(Arithmetic::Subtract, left, right),
        BinOpKind::Mul => arithmetic(Arithmetic::Multiply, left, right),
        BinOpKind::Div => arithmetic(Arithmetic::Divide, left, right),
        BinOpKind::FloorDiv => arithmetic(Arithmetic::FloorDivide, left, right),
        BinOpKind::Rem => arithmetic(Arithmetic::Remainder, left, right),
        BinOpKind::Pow => arithmetic(Arithmetic::Power, left, right),
        BinOpKind::Concat => arithmetic(Arithmetic::Join, left, right),
        BinOpKind::Eq => compare(CompareOp::Equal, left, right),
        BinOpKind::Ne => compare(CompareOp::Unequal, left, right),
        BinOpKind::Lt => compare(CompareOp::Less, left, right),
        BinOpKind::Lte => compare(CompareOp::AtMost, left, right),
        BinOpKind::Gt => compare(CompareOp::Greater, left, right),
        BinOpKind::Gte => compare(CompareOp::AtLeast, left, right),
        BinOpKind::In => compare(CompareOp::In, left, right),
    }
}

fn comparison(op: CompareOpKind) -> CompareOp {
    match op {
        CompareOpKind::Eq => CompareOp::Equal,
        CompareOpKind::Ne => CompareOp::Unequal,
        CompareOpKind::Lt => CompareOp::Less,
        CompareOpKind::Lte => CompareOp::AtMost,
        CompareOpKind::Gt => CompareOp::Greater,
        CompareOpKind::Gte => CompareOp::AtLeast,
        CompareOpKind::In => CompareOp::In,
        CompareOpKind::NotIn => CompareOp::NotIn,
    }
}

impl Node {
    /// Puts the names that are looked up into `names`, and these with their attributes into `paths`.
    pub(super) fn collect_names(&self, names: &mut BTreeSet<String>, paths: &mut BTreeSet<String>) {
        if let Some(path) = self.path() {
            names.insert(path.split('.').next().unwrap_or_default().to_owned());
            paths.insert(path);
            return;
        }
        self.each_part(&mut |part| part.collect_names(names, paths));
    }

    /// `a.b.c`, if that is what the node says.
    pub(super) fn path(&self) -> Option<String> {
        match self {
            Self::Name(name) => Some(name.clone()),
            Self::Attribute(of, name) => of.path().map(|path| format!("{path}.{name}")),
            _ => None,
        }
    }

    fn each_part(&self, see: &mut dyn FnMut(&Self)) {
        match self {
            Self::Const(_) | Self::Name(_) => {}
            Self::Attribute(of, _) | Self::Not(of) | Self::Negative(of) => see(of),
            Self::Item(left, right) | Self::Arithmetic(_, left, right) => {
                see(left);
                see(right);
            }
            Self::Slice(of, start, stop) => {
                see(of);
                [start, stop].into_iter().flatten().for_each(|part| see(part));
            }
            Self::Compare(first, others) => {
                see(first);
                others.iter().for_each(|(_, part)| see(part));
            }
            Self::If { condition, then, otherwise } => {
                see(condition);
                see(then);
                otherwise.iter().for_each(|part| see(part));
            }
            Self::Filter { input, arguments, .. } | Self::Test { input, arguments, .. } => {
                see(input);
                arguments.iter().for_each(|argument| see(&argument.value));
            }
            Self::Range(arguments) => arguments.iter().for_each(|argument| see(&argument.value)),
            Self::All(items) | Self::Any(items) | Self::List(items) => items.iter().for_each(see),
            Self::Map(pairs) => pairs.iter().for_each(|(key, value)| {
                see(key);
                see(value);
            }),
        }
    }
}
