//! YAML: the events of a parser become a tree. What a plain word means is decided by `scalar`, and by nothing else.
//!
//! The tree is built without recursion, and its depth, its values and the text that aliases copy are bounded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::yaml_map::MapFrame;
use super::{MAX_TEXT, NodeKind, TextNode};
use crate::manifest::error::{Error, TextPlace};
use crate::scalar::{self, Bare};

/// Deeper nesting is refused; a manifest needs five levels.
const MAX_DEPTH: usize = 32;
/// More values are refused.
const MAX_VALUES: usize = 4_000_000;
/// Values and bytes of text that anchors and aliases may repeat.
const MAX_COPIED_VALUES: usize = 200_000;
const MAX_COPIED_BYTES: usize = MAX_TEXT;

pub(super) fn parse(text: &str, origin: &Arc<str>) -> Result<TextNode, Error> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: 2 * MAX_DEPTH,
        block_nesting_limit: 2 * MAX_DEPTH,
    };
    options.set_emit_comments(false);
    let mut reader = YamlReader {
        origin,
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        values: 0,
        copied_values: 0,
        copied_bytes: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| {
            let place = place_of(origin, error.marker().line(), error.marker().col());
            let hint = hint(text, error.marker().line());
            Error::new(format!("{}{hint}", error.info())).or_at(Some(&place))
        })?;
        reader.take(event, span)?;
    }
    let empty = || TextNode { place: place_of(origin, 1, 0), kind: NodeKind::Null, written: None };
    Ok(reader.root.unwrap_or_else(empty))
}

struct YamlReader<'o> {
    origin: &'o Arc<str>,
    open: Vec<Frame>,
    /// The document; the empty ones around it are left out.
    root: Option<TextNode>,
    /// What has an anchor, when it is whole.
    anchors: HashMap<usize, TextNode>,
    values: usize,
    copied_values: usize,
    copied_bytes: usize,
}

/// A collection that is not closed yet.
enum Frame {
    List { place: TextPlace, items: Vec<TextNode>, anchor: usize },
    Map { frame: MapFrame, anchor: usize },
}

impl YamlReader<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Error> {
        let place = place_of(self.origin, span.start.line(), span.start.col());
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // The parser calls an empty value `~`.
                let nothing = style == ScalarStyle::Plain && span.is_empty();
                let text = if nothing { Cow::Borrowed("") } else { text };
                let node = scalar_node(place, &text, style, tag.as_deref())?;
                self.keep(anchor, &node)?;
                self.add(node)
            }
            Event::SequenceStart(_, anchor, tag) => {
                check_collection_tag(tag.as_deref(), "seq", &place)?;
                self.enter(Frame::List { place, items: Vec::new(), anchor })
            }
            Event::MappingStart(_, anchor, tag) => {
                check_collection_tag(tag.as_deref(), "map", &place)?;
                self.enter(Frame::Map { frame: MapFrame::new(place), anchor })
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(anchor) => self.alias(anchor, place),
            _ => Ok(()),
        }
    }

    fn enter(&mut self, frame: Frame) -> Result<(), Error> {
        if self.open.len() >= MAX_DEPTH {
            let place = match &frame {
                Frame::List { place, .. } => place,
                Frame::Map { frame, .. } => frame.place(),
            };
            let message = format!("values lie more than {MAX_DEPTH} deep, the limit");
            return Err(Error::new(message).or_at(Some(place)));
        }
        self.open.push(frame);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Error> {
        let (node, anchor) = match self.open.pop() {
            Some(Frame::List { place, items, anchor }) => {
                (TextNode { place, kind: NodeKind::List(items), written: None }, anchor)
            }
            Some(Frame::Map { frame, anchor }) => (frame.finish()?, anchor),
            None => return Ok(()),
        };
        self.keep(anchor, &node)?;
        self.add(node)
    }

    fn keep(&mut self, anchor: usize, node: &TextNode) -> Result<(), Error> {
        if anchor > 0 {
            self.count_copy(node, &node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    /// Counts a copy before it is made.
    fn count_copy(&mut self, node: &TextNode, place: &TextPlace) -> Result<(), Error> {
        let (values, bytes) = size_of(node);
        self.copied_values += values;
        self.copied_bytes += bytes;
        if self.copied_values > MAX_COPIED_VALUES || self.copied_bytes > MAX_COPIED_BYTES {
            let message = format!(
                "anchors and aliases repeat more than {MAX_COPIED_VALUES} values or {} MiB of text, the limits",
                MAX_COPIED_BYTES >> 20
            );
            return Err(Error::new(message).or_at(Some(place)));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: TextPlace) -> Result<(), Error> {
        let Some(node) = self.anchors.get(&anchor) else {
            let message = "this alias stands inside of what it refers to";
            return Err(Error::new(message).or_at(Some(&place)));
        };
        let node = node.clone();
        self.count_copy(&node, &place)?;
        self.add(TextNode { place, ..node })
    }

    /// Puts a whole value where it belongs.
    fn add(&mut self, node: TextNode) -> Result<(), Error> {
        self.values += 1;
        if self.values > MAX_VALUES {
            let message = format!("the text has more than {MAX_VALUES} values, the limit");
            return Err(node.error(message));
        }
        match self.open.last_mut() {
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map { frame, .. }) => frame.add(node)?,
            None => self.add_document(node)?,
        }
        Ok(())
    }

    /// A document without a value is no second one: many files end with `---`.
    fn add_document(&mut self, node: TextNode) -> Result<(), Error> {
        let is_empty = |node: &TextNode| matches!(node.kind, NodeKind::Null);
        match &self.root {
            Some(known) if !is_empty(known) && is_empty(&node) => {}
            Some(known) if !is_empty(known) => {
                let message = "a second document begins here; write each manifest into a file of its own";
                return Err(node.error(message));
            }
            _ => self.root = Some(node),
        }
        Ok(())
    }
}

/// How many values a node has, and how many bytes of text.
fn size_of(node: &TextNode) -> (usize, usize) {
    let written = node.written.as_ref().map_or(0, String::len);
    let sum = |all: (usize, usize), one: (usize, usize)| (all.0 + one.0, all.1 + one.1);
    match &node.kind {
        NodeKind::Text(text) => (1, written + text.len()),
        NodeKind::List(items) => items.iter().map(size_of).fold((1, written), sum),
        NodeKind::Map(entries) => {
            let entries = entries.iter().map(|entry| (size_of(&entry.node), entry.name.len()));
            entries.fold((1, written), |all, (node, name)| sum(sum(all, node), (0, name)))
        }
        _ => (1, written),
    }
}

fn scalar_node(
    place: TextPlace,
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
) -> Result<TextNode, Error> {
    let fails = |message: String| Error::new(message).or_at(Some(&place));
    let plain = style == ScalarStyle::Plain;
    let kind = match tag {
        None if plain => kind_of(text),
        None => NodeKind::Text(text.to_owned()),
        Some(tag) => {
            let short: String = text.chars().take(40).collect();
            let is = |name: &str| tag.is_yaml_core_schema_tag(name);
            match kind_of(text) {
                _ if is("str") || tag.original() == "!" => NodeKind::Text(text.to_owned()),
                kind @ NodeKind::Int(_) if is("int") || is("float") => kind,
                kind @ NodeKind::Float(_) if is("float") => kind,
                kind @ NodeKind::Bool(_) if is("bool") => kind,
                kind @ NodeKind::Null if is("null") => kind,
                _ if ["int", "float", "bool", "null"].into_iter().any(is) => {
                    return Err(fails(format!(
                        "{short:?} is not what its tag {} says; leave the tag out, or write another value",
                        tag.original()
                    )));
                }
                _ => {
                    return Err(fails(format!(
                        "the tag {} has no meaning in a manifest; leave it out",
                        tag.original()
                    )));
                }
            }
        }
    };
    let is_text = matches!(kind, NodeKind::Text(_));
    // Of texts, only those without quotes may be mistaken for something else.
    let written = (!is_text || (plain && tag.is_none())).then(|| text.to_owned());
    Ok(TextNode { place, kind, written })
}

fn kind_of(word: &str) -> NodeKind {
    match scalar::bare(word) {
        Bare::Null => NodeKind::Null,
        Bare::Bool(value) => NodeKind::Bool(value),
        Bare::Int(value) => NodeKind::Int(value),
        Bare::Float(value) => NodeKind::Float(value),
        Bare::Text => NodeKind::Text(word.to_owned()),
    }
}

fn check_collection_tag(tag: Option<&Tag>, expected: &str, place: &TextPlace) -> Result<(), Error> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag(expected) => {
            let message = format!("the tag {} has no meaning in a manifest; leave it out", tag.original());
            Err(Error::new(message).or_at(Some(place)))
        }
        _ => Ok(()),
    }
}

fn place_of(origin: &Arc<str>, line: usize, column: usize) -> TextPlace {
    TextPlace {
        origin: origin.clone(),
        line: u32::try_from(line).ok(),
        column: u32::try_from(column + 1).ok(),
    }
}

/// What people often mean where YAML can't be read.
fn hint(text: &str, line: usize) -> &'static str {
    let written = line.checked_sub(1).and_then(|at| text.lines().nth(at)).unwrap_or("");
    if has_bare_template(written) {
        "; a template needs quotes: \"{{ name }}\""
    } else if written.trim_start_matches(' ').starts_with('\t') {
        "; YAML wants spaces, not tabs, at the start of a line"
    } else {
        ""
    }
}

/// True when `{{` stands outside quotes.
fn has_bare_template(line: &str) -> bool {
    let mut quote = None;
    let mut previous = ' ';
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '{' && previous == '{' => return true,
            None => {}
        }
        previous = c;
    }
    false
}
