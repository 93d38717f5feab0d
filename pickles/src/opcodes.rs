//! What each byte of a pickle's program means, and what follows it.

/// What follows an opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    None,
    /// A number of so many bytes, of which nothing depends.
    Number(u8),
    /// The place of a memo, in so many bytes or as a line.
    Memo(u8),
    MemoLine,
    /// Of no interest.
    Line,
    /// A module and a name.
    TwoLines,
    /// A length of so many bytes, then so many bytes of a text or of something else.
    Text(u8),
    Bytes(u8),
    /// A text as a line, and one in quotes.
    TextLine,
    QuotedLine,
}

/// What an opcode does to the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Nothing,
    /// Puts a value there that is neither a text nor a name.
    Push,
    PushText,
    Mark,
    /// Takes so many values away and puts one there.
    Replace(u8),
    /// Takes so many values away; what is below them stays.
    Drop(u8),
    /// Takes all down to the mark away and puts one value there.
    Gather,
    /// Takes all down to the mark away; what is below it stays.
    DropToMark,
    /// Takes a value or a mark away.
    Pop,
    Duplicate,
    Get,
    /// Notes the top under a number, or under the next one.
    Put,
    Memoize,
    /// A name: what follows, or the two texts on the stack.
    Global,
    StackGlobal,
    /// Calls: a value with arguments, a class with one or two, a class that follows with all down to the mark, a class at
    /// the mark.
    Reduce,
    NewObject(u8),
    Instance,
    Object,
    /// Gives an object its state.
    Build,
    /// A name by a number that only the program knows that made it.
    Extension,
    /// A value that somebody else has kept.
    Persistent,
    Protocol,
    Stop,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Opcode {
    pub(crate) argument: Argument,
    pub(crate) effect: Effect,
    /// The protocol that brought it.
    pub(crate) since: u8,
}

/// None: no protocol has such an opcode.
pub(crate) fn find(byte: u8) -> Option<Opcode> {
    use Argument as A;
    use Effect as E;
    let (argument, effect, since) = match byte {
        b'(' => (A::None, E::Mark, 0),
        b'.' => (A::None, E::Stop, 0),
        b'0' => (A::None, E::Pop, 0),
        b'1' => (A::None, E::DropToMark, 1),
        b'2' => (A::None, E::Duplicate, 0),
        b'F' | b'I' | b'L' => (A::Line, E::Push, 0),
        b'J' => (A::Number(4), E::Push, 1),
        b'K' => (A::Number(1), E::Push, 1),
        b'M' => (A::Number(2), E::Push, 1),
        b'N' => (A::None, E::Push, 0),
        b'P' => (A::Line, E::Persistent, 0),
        b'Q' => (A::None, E::Persistent, 1),
        b'R' => (A::None, E::Reduce, 0),
        b'S' => (A::QuotedLine, E::PushText, 0),
        b'V' => (A::TextLine, E::PushText, 0),
        b'T' | b'X' => (A::Text(4), E::PushText, 1),
        b'U' => (A::Text(1), E::PushText, 1),
        b'a' => (A::None, E::Drop(1), 0),
        b'b' => (A::None, E::Build, 0),
        b'c' => (A::TwoLines, E::Global, 0),
        b'd' | b'l' | b't' => (A::None, E::Gather, 0),
        b'e' | b'u' => (A::None, E::DropToMark, 1),
        b'g' => (A::MemoLine, E::Get, 0),
        b'h' => (A::Memo(1), E::Get, 1),
        b'i' => (A::TwoLines, E::Instance, 0),
        b'j' => (A::Memo(4), E::Get, 1),
        b'o' => (A::None, E::Object, 1),
        b'p' => (A::MemoLine, E::Put, 0),
        b'q' => (A::Memo(1), E::Put, 1),
        b'r' => (A::Memo(4), E::Put, 1),
        b's' => (A::None, E::Drop(2), 0),
        b']' | b')' | b'}' => (A::None, E::Push, 1),
        b'G' => (A::Number(8), E::Push, 1),
        0x80 => (A::Number(1), E::Protocol, 2),
        0x81 => (A::None, E::NewObject(1), 2),
        0x82 => (A::Number(1), E::Extension, 2),
        0x83 => (A::Number(2), E::Extension, 2),
        0x84 => (A::Number(4), E::Extension, 2),
        0x85 => (A::None, E::Replace(1), 2),
        0x86 => (A::None, E::Replace(2), 2),
        0x87 => (A::None, E::Replace(3), 2),
        0x88 | 0x89 => (A::None, E::Push, 2),
        0x8a => (A::Bytes(1), E::Push, 2),
        0x8b => (A::Bytes(4), E::Push, 2),
        b'B' => (A::Bytes(4), E::Push, 3),
        b'C' => (A::Bytes(1), E::Push, 3),
        0x8c => (A::Text(1), E::PushText, 4),
        0x8d => (A::Text(8), E::PushText, 4),
        0x8e => (A::Bytes(8), E::Push, 4),
        0x8f => (A::None, E::Push, 4),
        0x90 => (A::None, E::DropToMark, 4),
        0x91 => (A::None, E::Gather, 4),
        0x92 => (A::None, E::NewObject(2), 4),
        0x93 => (A::None, E::StackGlobal, 4),
        0x94 => (A::None, E::Memoize, 4),
        0x95 => (A::Number(8), E::Nothing, 4),
        0x96 => (A::Bytes(8), E::Push, 5),
        0x97 => (A::None, E::Push, 5),
        0x98 => (A::None, E::Nothing, 5),
        _ => return None,
    };
    Some(Opcode { argument, effect, since })
}
