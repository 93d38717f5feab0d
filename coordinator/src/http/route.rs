//! What is said of a call in the table of all calls.

use axum::routing::MethodRouter;
use bt_analysis::export::Form;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::access::rights::Right;
use crate::clients::Clients;

pub(super) struct Route {
    /// Its name in the description.
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    /// `{name}` stands for a part of it.
    pub(super) path: &'static str,
    /// What its caller must have.
    pub(super) right: Right,
    pub(super) summary: &'static str,
    /// What may follow the address, as the keys of a struct.
    pub(super) query: Option<SchemaOf>,
    pub(super) sent: Sent,
    pub(super) answer: Answer,
    pub(super) handler: fn() -> MethodRouter<Clients>,
}

impl Route {
    /// The path as the description writes it, which does not say that the last part may hold slashes.
    pub(super) fn address(&self) -> String {
        self.path.replace("{*", "{")
    }
}

pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What is sent with a call.
#[derive(Clone, Copy)]
pub(super) enum Sent {
    Nothing,
    Json(SchemaOf),
    /// A manifest, in one of the forms that a file of it may have.
    Manifest,
}

#[derive(Clone, Copy)]
pub(super) enum Answer {
    Json(SchemaOf),
    Text,
    Html,
    Bytes,
    /// Server-sent events, each with JSON of this type.
    Events(SchemaOf),
    /// A file of this media type.
    Table(Form),
}

pub(super) const fn json<T: JsonSchema>() -> Answer {
    Answer::Json(schema::<T>)
}

pub(super) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What the `{name}`s in addresses stand for.
pub(super) const PARTS: &[(&str, &str, &str)] = &[
    (
        "sweep",
        "string",
        "A sweep: its id, its name (the newest of that name), or the beginning of its id, 4 characters or more",
    ),
    ("job", "integer", "A job's number in its sweep, from 0 on"),
    ("path", "string", "A file's path below the results directory; its slashes stay slashes"),
    ("agent", "string", "An agent: its id, its name, or the beginning of its id"),
    ("schedule", "string", "A schedule, by its name"),
    ("alias", "string", "An alias of an image, by its name; a slash in it is written %2F"),
];
