//! The API's description: for programs as an OpenAPI document, for people as a page. Both are made from the table of
//! calls and from the types that the calls take and answer with.

use std::sync::LazyLock;

use askama::Template;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::guarded::Guarded;
use super::page::{Frame, rendered};
use super::reply::Refused;
use super::route::{Answer, PARTS, Route, SchemaOf, Sent};
use super::table::ROUTES;
use crate::access::rights::Right;

pub(super) fn router() -> Guarded<()> {
    Guarded::new().get("/api/openapi.json", Right::Read, document).get("/api", Right::Read, page)
}

async fn document() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi().to_string());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}

/// The description of the API, an OpenAPI document.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator =
        settings.with(|settings| settings.definitions_path = "/components/schemas".into()).into_generator();
    let refused = generator.subschema_for::<bt_documents::Refused>();
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.address()).or_insert_with(|| json!({}));
        path[route.method] = operation(route, &refused, &mut generator);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "btctl",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a coordinator of btctl answers. Keys are added to answers, never removed or renamed; \
                a value keeps its type and its unit. Times are RFC 3339 in UTC.",
        },
        "paths": paths,
        "components": { "schemas": generator.take_definitions(true) },
    })
}

fn operation(route: &Route, refused: &Schema, generator: &mut SchemaGenerator) -> Value {
    let parameters: Vec<Value> =
        parts(route).map(part).chain(query(route).iter().map(Query::parameter)).collect();
    let content = match route.answer {
        Answer::Json(schema) => json!({ "application/json": { "schema": schema(generator) } }),
        Answer::Bytes => json!({ "application/octet-stream": {} }),
        Answer::Events(schema) => json!({ "text/event-stream": { "itemSchema": schema(generator) } }),
        Answer::Table(form) => json!({ (form.media_type()): {} }),
        Answer::Html => json!({ "text/html": { "schema": { "type": "string" } } }),
        Answer::Text => json!({ "text/plain": { "schema": { "type": "string" } } }),
    };
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": "As asked", "content": content },
            "default": {
                "description": "Refused, and why",
                "content": { "application/json": { "schema": refused } },
            },
        },
    });
    let content = match route.sent {
        Sent::Nothing => None,
        Sent::Json(schema) => Some(json!({ "application/json": { "schema": schema(&mut taken()) } })),
        Sent::Manifest => Some(json!({
            "application/yaml": { "schema": { "type": "string" } },
            "application/toml": { "schema": { "type": "string" } },
            "application/json": { "schema": { "type": "object" } },
        })),
    };
    if let Some(content) = content {
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

/// Schemas of what calls take: each in one piece.
fn taken() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().for_deserialize();
    settings.with(|settings| settings.inline_subschemas = true).into_generator()
}

type Part = (&'static str, &'static str, &'static str);

fn parts(route: &Route) -> impl Iterator<Item = &'static Part> {
    PARTS.iter().filter(|(name, ..)| route.address().contains(&format!("{{{name}}}")))
}

fn part(&(name, kind, description): &Part) -> Value {
    json!({
        "name": name, "in": "path", "required": true, "description": description, "schema": { "type": kind },
    })
}

/// A key that may follow an address.
struct Query {
    name: String,
    description: String,
    schema: Value,
}

impl Query {
    fn parameter(&self) -> Value {
        let Self { name, description, schema } = self;
        json!({ "name": name, "in": "query", "required": false, "description": description, "schema": schema })
    }
}

fn query(route: &Route) -> Vec<Query> {
    route.query.map(keys).unwrap_or_default()
}

fn keys(schema: SchemaOf) -> Vec<Query> {
    let schema = Value::from(schema(&mut taken()));
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let read = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let description = description.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        Query { name, description, schema }
    };
    properties.into_iter().map(read).collect()
}

/// The description to read.
#[derive(Template)]
#[template(path = "api.html")]
struct Page {
    frame: Frame,
    calls: Vec<Call>,
}

struct Call {
    method: String,
    path: String,
    summary: &'static str,
    takes: Vec<Query>,
}

async fn page() -> Result<Response, Refused> {
    let calls = ROUTES.iter().map(|route| Call {
        method: route.method.to_uppercase(),
        path: route.address(),
        summary: route.summary,
        takes: query(route).into_iter().chain(body(route)).collect(),
    });
    rendered(&Page { frame: Frame::new("", "api"), calls: calls.collect() })
}

/// The keys of what is sent.
fn body(route: &Route) -> Vec<Query> {
    match route.sent {
        Sent::Json(schema) => keys(schema),
        Sent::Nothing | Sent::Manifest => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_addresses_name_is_described() {
        for route in ROUTES {
            let named = route.path.matches('{').count();
            assert_eq!(parts(route).count(), named, "{}", route.path);
        }
    }

    #[test]
    fn each_call_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = ROUTES.iter().map(|route| route.name).collect();
        assert_eq!(names.len(), ROUTES.len());
    }

    #[test]
    fn no_schema_points_to_what_is_not_there() {
        let document = openapi();
        let text = document.to_string();
        for name in text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document["components"]["schemas"].get(name).is_some(), "{name} is not described");
        }
        assert!(!text.contains("#/$defs"), "a schema has definitions of its own");
    }
}
