//! JSON. serde_json decides whether it is JSON; the YAML parser, which reads JSON as well, then says where things stand.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Entry, Kind, Node, yaml};
use crate::manifest::error::{Error, Place};

pub(super) fn parse(text: &str, origin: &Arc<str>) -> Result<Node, Error> {
    let at = |error: &serde_json::Error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(bare, _)| bare);
        Error::new(message).or_at(Some(&Place {
            origin: origin.clone(),
            line: u32::try_from(error.line()).ok(),
            column: u32::try_from(error.column()).ok(),
        }))
    };
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| at(&error))?;
    match yaml::parse(text, origin) {
        Ok(node) => Ok(node),
        // JSON that the YAML parser does not take, or not so much of it: places are lost, nothing else is.
        Err(_) => {
            let value: Json = serde_json::from_str(text).map_err(|error| at(&error))?;
            Ok(value.node(origin))
        }
    }
}

/// A value whose maps have each name once.
enum Json {
    Scalar(Kind),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl Json {
    fn node(self, origin: &Arc<str>) -> Node {
        let place = Place { origin: origin.clone(), line: None, column: None };
        let written = match &self {
            Self::Scalar(Kind::Bool(value)) => Some(value.to_string()),
            Self::Scalar(Kind::Int(value)) => Some(value.to_string()),
            Self::Scalar(Kind::Float(value)) => Some(serde_json::Value::from(*value).to_string()),
            _ => None,
        };
        let kind = match self {
            Self::Scalar(kind) => kind,
            Self::List(items) => Kind::List(items.into_iter().map(|item| item.node(origin)).collect()),
            Self::Map(entries) => {
                let entries = entries.into_iter().map(|(name, value)| Entry {
                    name,
                    place: place.clone(),
                    node: value.node(origin),
                });
                Kind::Map(entries.collect())
            }
        };
        Node { place, kind, written }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Scalar(Kind::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Scalar(Kind::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Scalar(Kind::Int(value)))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Json, E> {
        i64::try_from(value)
            .map(|value| Json::Scalar(Kind::Int(value)))
            .map_err(|_| E::custom(format!("the number {value} is too large; write it as a text")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Scalar(Kind::Float(value)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Scalar(Kind::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut map: Vec<(String, Json)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = entries.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(serde::de::Error::custom(format!("the key `{name}` stands twice")));
            }
            map.push((name, entries.next_value()?));
        }
        Ok(Json::Map(map))
    }
}
