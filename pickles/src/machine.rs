//! Follows a pickle's program as far as names go.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::rc::Rc;

use super::Error;
use super::names::{Standing, joined, standing};
use super::opcodes::{Argument, Effect, find};
use super::reader::{KEPT, Reader};

/// Values that are followed: some 30 bytes each. Further ones are values of no interest.
const MOST_VALUES: usize = 4_000_000;
/// Different names that are listed; a pickle of data has some dozen.
const MOST_NAMES: usize = 10_000;
/// The latest protocol.
const LATEST: u8 = 5;

/// What is in a file of pickles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inspection {
    /// The highest protocol that it says or needs, 0 to 5.
    pub protocol: u8,
    /// Pickles one after the other.
    pub pickles: u64,
    pub bytes: u64,
    pub opcodes: u64,
    /// Bytes of texts, byte strings and arrays, and of the longest of them.
    pub payload: u64,
    pub longest: u64,
    /// What loading would import, the dangerous first, then by how often it is used.
    pub names: Vec<Name>,
    /// Calls of what the program itself has made, such as what `getattr` gave: nobody knows of what.
    pub computed_calls: u64,
    /// Objects that are kept elsewhere, and names by numbers: nobody knows of what.
    pub elsewhere: u64,
    /// Names that could not be followed, because a text that makes them was too long, computed or not kept.
    pub unnamed: u64,
}

/// Something that is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Such as `numpy.ndarray`.
    pub name: String,
    pub standing: Standing,
    /// How often the program uses it, and how often it calls it: to make an object, or anything else.
    pub used: u64,
    pub called: u64,
}

/// A value on the stack, as far as it matters.
#[derive(Clone)]
enum Item {
    /// Its place in the list of names.
    Global(u32),
    /// Short enough to be a part of a name.
    Text(Rc<str>),
    /// Made by a call of that name.
    Made,
    Other,
}

struct Machine<R> {
    reader: Reader<R>,
    stack: Vec<Item>,
    /// Where in the stack marks are.
    marks: Vec<usize>,
    memo: HashMap<u64, Item>,
    /// The number that the next memoized value gets.
    next: u64,
    places: BTreeMap<String, u32>,
    names: Vec<Name>,
    found: Inspection,
}

/// The argument of an opcode.
enum Given {
    Nothing,
    Number(u64),
    Text(Option<String>),
    Names(String, String),
}

pub(crate) fn run<R: Read>(reader: Reader<R>) -> Result<Inspection, Error> {
    let mut machine = Machine {
        reader,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        next: 0,
        places: BTreeMap::new(),
        names: Vec::new(),
        found: Inspection::default(),
    };
    while machine.pickle()? {}
    if machine.found.pickles == 0 {
        return Err(Error::NoPickle("it is empty".to_owned()));
    }
    machine.found.bytes = machine.reader.at();
    machine
        .names
        .sort_by(|a, b| a.standing.cmp(&b.standing).then(b.used.cmp(&a.used)).then(a.name.cmp(&b.name)));
    machine.found.names = machine.names;
    Ok(machine.found)
}

impl<R: Read> Machine<R> {
    /// Follows one pickle. False at the end of the file.
    fn pickle(&mut self) -> Result<bool, Error> {
        self.stack.clear();
        self.marks.clear();
        self.memo.clear();
        self.next = 0;
        let begins = self.reader.at();
        loop {
            let at = self.reader.at();
            let Some(byte) = self.reader.byte()? else {
                return match at == begins {
                    true => Ok(false),
                    false => Err(self.reader.broken("it ends before it stops")),
                };
            };
            let is_first = at == 0;
            let Some(opcode) = find(byte) else {
                let what = format!("{byte:#04x} is no opcode of a pickle");
                return Err(if is_first { no_pickle(byte) } else { Error::Broken { at, what } });
            };
            self.found.opcodes += 1;
            self.found.protocol = self.found.protocol.max(opcode.since);
            let given = self.argument(opcode.argument)?;
            if self.apply(opcode.effect, given)? {
                self.found.pickles += 1;
                return Ok(true);
            }
        }
    }

    fn argument(&mut self, argument: Argument) -> Result<Given, Error> {
        Ok(match argument {
            Argument::None => Given::Nothing,
            Argument::Number(bytes) | Argument::Memo(bytes) => Given::Number(self.reader.number(bytes)?),
            Argument::Line => {
                self.reader.line()?;
                Given::Nothing
            }
            Argument::MemoLine => {
                let line = self.reader.line()?;
                let place = line.trim().parse();
                Given::Number(
                    place.map_err(|_| self.reader.broken(format!("{line:?} is no place of the memo")))?,
                )
            }
            Argument::TwoLines => Given::Names(self.reader.line()?, self.reader.line()?),
            Argument::Text(bytes) => {
                let length = self.reader.number(bytes)?;
                Given::Text(self.payload(length)?.and_then(|text| String::from_utf8(text).ok()))
            }
            Argument::Bytes(bytes) => {
                let length = self.reader.number(bytes)?;
                self.payload(length)?;
                Given::Nothing
            }
            Argument::TextLine => {
                let line = self.reader.line()?;
                Given::Text(unescaped(&line, Escapes::Unicode).filter(|text| text.len() <= KEPT))
            }
            Argument::QuotedLine => {
                let line = self.reader.line()?;
                let quoted = line.strip_prefix(['\'', '"']).and_then(|rest| rest.strip_suffix(['\'', '"']));
                let text = quoted.and_then(|text| unescaped(text, Escapes::All));
                Given::Text(text.filter(|text| text.len() <= KEPT))
            }
        })
    }

    /// All of it if it is short.
    fn payload(&mut self, length: u64) -> Result<Option<Vec<u8>>, Error> {
        self.found.payload = self.found.payload.saturating_add(length);
        self.found.longest = self.found.longest.max(length);
        let kept = self.reader.skip(length)?;
        Ok((kept.len() as u64 == length).then_some(kept))
    }

    /// True if the pickle stops.
    fn apply(&mut self, effect: Effect, given: Given) -> Result<bool, Error> {
        match effect {
            Effect::Nothing => {}
            Effect::Push => self.push(Item::Other)?,
            Effect::PushText => {
                let Given::Text(text) = given else { return self.push(Item::Other).map(|()| false) };
                self.push(text.map_or(Item::Other, |text| Item::Text(text.into())))?;
            }
            Effect::Mark if self.marks.len() >= MOST_VALUES => {
                return Err(self.reader.broken(format!("more than {MOST_VALUES} marks lie on the stack")));
            }
            Effect::Mark => self.marks.push(self.stack.len()),
            Effect::Pop if self.stack.len() == self.floor() && !self.marks.is_empty() => {
                self.marks.pop();
            }
            Effect::Pop => self.take(1)?,
            Effect::Replace(count) => {
                self.take(count)?;
                self.push(Item::Other)?;
            }
            Effect::Drop(count) => self.take(count)?,
            Effect::Gather => {
                self.drop_to_mark()?;
                self.push(Item::Other)?;
            }
            Effect::DropToMark => {
                self.drop_to_mark()?;
            }
            Effect::Duplicate => {
                let top = self.top()?.clone();
                self.push(top)?;
            }
            Effect::Get => {
                let Given::Number(place) = given else { return Ok(false) };
                let item = self.memo.get(&place).cloned();
                let item =
                    item.ok_or_else(|| self.reader.broken(format!("the memo has nothing at {place}")))?;
                self.push(item)?;
            }
            Effect::Put => {
                let Given::Number(place) = given else { return Ok(false) };
                let top = self.top()?.clone();
                self.note(place, top)?;
            }
            Effect::Memoize => {
                let (place, top) = (self.next, self.top()?.clone());
                self.note(place, top)?;
            }
            Effect::Global => {
                let Given::Names(module, name) = given else { return Ok(false) };
                let place = self.name(&module, &name)?;
                self.push(Item::Global(place))?;
            }
            Effect::StackGlobal => self.stack_global()?,
            Effect::Reduce => {
                self.take(1)?;
                let callable = self.pop()?;
                self.call(&callable);
                self.push(Item::Made)?;
            }
            Effect::NewObject(arguments) => {
                self.take(arguments)?;
                let class = self.pop()?;
                self.call(&class);
                self.push(Item::Made)?;
            }
            Effect::Instance => {
                let Given::Names(module, name) = given else { return Ok(false) };
                self.drop_to_mark()?;
                let place = self.name(&module, &name)?;
                self.call(&Item::Global(place));
                self.push(Item::Made)?;
            }
            Effect::Object => {
                let class = self.drop_to_mark()?.unwrap_or(Item::Other);
                self.call(&class);
                self.push(Item::Made)?;
            }
            Effect::Build => self.take(1)?,
            Effect::Extension => {
                self.found.elsewhere += 1;
                self.push(Item::Other)?;
            }
            Effect::Persistent => {
                self.found.elsewhere += 1;
                self.push(Item::Other)?;
            }
            Effect::Protocol => {
                let Given::Number(protocol) = given else { return Ok(false) };
                match u8::try_from(protocol).ok().filter(|protocol| *protocol <= LATEST) {
                    Some(protocol) => self.found.protocol = self.found.protocol.max(protocol),
                    None => {
                        return Err(self
                            .reader
                            .broken(format!("protocol {protocol} is not known; {LATEST} is the latest")));
                    }
                }
            }
            Effect::Stop => return Ok(true),
        }
        Ok(false)
    }

    fn push(&mut self, item: Item) -> Result<(), Error> {
        match self.stack.len() < MOST_VALUES {
            true => self.stack.push(item),
            false => {
                return Err(self.reader.broken(format!("more than {MOST_VALUES} values lie on the stack")));
            }
        }
        Ok(())
    }

    fn note(&mut self, place: u64, item: Item) -> Result<(), Error> {
        self.next = self.next.max(place.saturating_add(1));
        if self.memo.len() >= MOST_VALUES && !self.memo.contains_key(&place) {
            return Err(self.reader.broken(format!("more than {MOST_VALUES} values are in the memo")));
        }
        self.memo.insert(place, item);
        Ok(())
    }

    /// The lowest place that an opcode may take from: what lies below the last mark is out of reach.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Item, Error> {
        match self.stack.len() > self.floor() {
            true => self.stack.pop().ok_or_else(|| self.reader.broken("the stack is empty")),
            false => Err(self.reader.broken("the stack is empty")),
        }
    }

    fn top(&self) -> Result<&Item, Error> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.floor());
        top.ok_or_else(|| self.reader.broken("the stack is empty"))
    }

    fn take(&mut self, count: u8) -> Result<(), Error> {
        (0..count).try_for_each(|_| self.pop().map(drop))
    }

    /// Takes all down to the last mark away, and gives the lowest of it.
    fn drop_to_mark(&mut self) -> Result<Option<Item>, Error> {
        let mark = self.marks.pop().ok_or_else(|| self.reader.broken("there is no mark on the stack"))?;
        let lowest = self.stack.get(mark).cloned();
        self.stack.truncate(mark);
        Ok(lowest)
    }

    fn stack_global(&mut self) -> Result<(), Error> {
        let (name, module) = (self.pop()?, self.pop()?);
        let item = match (module, name) {
            (Item::Text(module), Item::Text(name)) => Item::Global(self.name(&module, &name)?),
            _ => {
                self.found.unnamed += 1;
                Item::Other
            }
        };
        self.push(item)
    }

    fn name(&mut self, module: &str, name: &str) -> Result<u32, Error> {
        let name = joined(module, name);
        let place = match self.places.get(&name) {
            Some(place) => *place,
            None if self.names.len() >= MOST_NAMES => {
                return Err(self.reader.broken(format!("it has more than {MOST_NAMES} names")));
            }
            None => {
                let place = self.names.len() as u32;
                self.places.insert(name.clone(), place);
                self.names.push(Name { standing: standing(&name), name, used: 0, called: 0 });
                place
            }
        };
        self.names[place as usize].used += 1;
        Ok(place)
    }

    fn call(&mut self, callable: &Item) {
        match callable {
            Item::Global(place) => self.names[*place as usize].called += 1,
            Item::Text(_) | Item::Made | Item::Other => self.found.computed_calls += 1,
        }
    }
}

/// Which of Python's escapes a text may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    /// `\\u0041` and `\\U00000041` alone.
    Unicode,
    All,
}

/// The text that Python reads there; none if it can't.
fn unescaped(text: &str, escapes: Escapes) -> Option<String> {
    let mut read = String::new();
    let mut rest = text;
    while let Some(place) = rest.find('\\') {
        read.push_str(&rest[..place]);
        let escape = rest[place + 1..].chars().next()?;
        let after = place + 1 + escape.len_utf8();
        let digits = match escape {
            'u' => 4,
            'U' => 8,
            'x' if escapes == Escapes::All => 2,
            _ => 0,
        };
        let code = |radix, text: &str| char::from_u32(u32::from_str_radix(text, radix).ok()?);
        if digits > 0 {
            read.push(code(16, rest.get(after..after + digits)?)?);
            rest = &rest[after + digits..];
        } else if escapes == Escapes::All && escape.is_digit(8) {
            let octal = rest[place + 1..].chars().take(3).take_while(|c| c.is_digit(8)).count();
            read.push(code(8, &rest[place + 1..place + 1 + octal])?);
            rest = &rest[place + 1 + octal..];
        } else {
            match (escapes, escape) {
                (Escapes::All, '\\' | '\'' | '"') => read.push(escape),
                (Escapes::All, 'n') => read.push('\n'),
                (Escapes::All, 't') => read.push('\t'),
                (Escapes::All, 'r') => read.push('\r'),
                _ => read.extend(['\\', escape]),
            }
            rest = &rest[after..];
        }
    }
    read.push_str(rest);
    Some(read)
}

/// What the file looks like instead.
fn no_pickle(first: u8) -> Error {
    let looks = match first {
        0x1f => "it looks compressed by gzip; unpack it first",
        0xfd => "it looks compressed by xz; unpack it first",
        0x42 => "it looks compressed by bzip2; unpack it first",
        0x50 => "it looks like a zip archive or a Parquet file",
        0x93 => "it looks like a file of numpy",
        0x7b => "it looks like JSON",
        _ => "its first byte is no opcode",
    };
    Error::NoPickle(looks.to_owned())
}
