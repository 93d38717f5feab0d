//! Calls about aliases of images. A slash in an alias is written `%2F`.

use axum::routing::{get, post};
use bt_documents::{AliasHistory, Aliases, Changed, ChangedAlias};

use super::super::route::{Route, Sent, json, schema};
use super::super::{actions, aliases};
use crate::access::rights::Right;

pub(super) static ALIASES: &[Route] = &[
    Route {
        name: "list_aliases",
        method: "get",
        path: "/api/aliases",
        right: Right::Read,
        summary: "What each alias of an image stands for",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Aliases>(),
        handler: || get(aliases::list),
    },
    Route {
        name: "show_alias",
        method: "get",
        path: "/api/aliases/{alias}",
        right: Right::Read,
        summary: "All that an alias has stood for, the latest first; a slash in its name is written %2F",
        query: None,
        sent: Sent::Nothing,
        answer: json::<AliasHistory>(),
        handler: || get(aliases::show),
    },
    Route {
        name: "promote_image",
        method: "post",
        path: "/api/aliases/{alias}/promote",
        right: Right::Operate,
        summary: "Have an alias stand for an image from now on, if the sweep that tested it has succeeded",
        query: None,
        sent: Sent::Json(schema::<aliases::PromoteImage>),
        answer: json::<ChangedAlias>(),
        handler: || post(aliases::promote),
    },
    Route {
        name: "roll_back_alias",
        method: "post",
        path: "/api/aliases/{alias}/rollback",
        right: Right::Operate,
        summary: "Have an alias stand for an image that it stood for before",
        query: None,
        sent: Sent::Json(schema::<aliases::RollBackAlias>),
        answer: json::<ChangedAlias>(),
        handler: || post(aliases::roll_back),
    },
    Route {
        name: "remove_alias",
        method: "post",
        path: "/api/aliases/{alias}/remove",
        right: Right::Operate,
        summary: "Forget an alias; sweeps that named it keep the image that it stood for",
        query: None,
        sent: Sent::Json(schema::<actions::Nothing>),
        answer: json::<Changed>(),
        handler: || post(aliases::remove),
    },
];
