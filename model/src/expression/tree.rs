//! An expression as it is evaluated.

use minijinja::Value;

#[derive(Debug)]
pub(super) enum Node {
    Const(Value),
    Name(String),
    Attribute(Box<Node>, String),
    Item(Box<Node>, Box<Node>),
    Slice(Box<Node>, Option<Box<Node>>, Option<Box<Node>>),
    Not(Box<Node>),
    Negative(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    /// `a < b < c`: each neighbour is compared.
    Compare(Box<Node>, Vec<(CompareOp, Node)>),
    If {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Option<Box<Node>>,
    },
    Filter {
        name: String,
        input: Box<Node>,
        arguments: Vec<Argument>,
    },
    Test {
        name: String,
        input: Box<Node>,
        arguments: Vec<Argument>,
    },
    Range(Vec<Argument>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
    Power,
    Join,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CompareOp {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
    NotIn,
}

#[derive(Debug)]
pub(super) struct Argument {
    pub(super) name: Option<String>,
    pub(super) value: Node,
}
