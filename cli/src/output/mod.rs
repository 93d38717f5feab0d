//! What commands print: one view of a list, in the form that was asked for. Only the list goes to standard output;
//! remarks about it go to standard error.

mod block;
mod cell;
mod channel;
mod confirm;
mod findings;
mod form;
mod full_screen;
mod indent;
mod json;
mod out;
mod print;
mod printer;
pub(crate) mod reasons;
mod say;
pub(crate) mod spark;
mod table;
pub(crate) mod terminal;
mod ticker;
mod told;
pub(crate) mod tries;
mod view;
pub(crate) mod words;
mod wrap;

pub(crate) use block::{Block, one_line};
pub(crate) use cell::Cell;
pub(crate) use channel::Channel;
pub(crate) use confirm::confirm;
#[cfg(target_os = "linux")]
pub(crate) use findings::{print_findings, worst};
pub(crate) use form::{Form, ListArgs, OutputArgs, OutputFormat};
pub(crate) use full_screen::FullScreen;
pub(crate) use json::Json;
pub(crate) use out::{Out, reader_left};
pub(crate) use print::{print, print_facts, print_json};
pub(crate) use printer::Printer;
pub(crate) use say::say;
pub(crate) use table::{figure, figures};
pub(crate) use ticker::Ticker;
pub(crate) use told::told;
pub(crate) use view::{Column, Row, View};
pub(crate) use wrap::wrapped;
