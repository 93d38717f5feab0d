//! Calls about schedules.

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use bt_documents::{AskedRun, Changed, Schedule, Schedules, ShownSchedule};

use super::super::route::{Route, Sent, json, schema};
use super::super::{actions, schedules, submit};
use crate::access::rights::Right;

pub(super) static SCHEDULES: &[Route] = &[
    Route {
        name: "list_schedules",
        method: "get",
        path: "/api/schedules",
        right: Right::Read,
        summary: "All schedules, with their next times and what became of the latest one",
        query: None,
        sent: Sent::Nothing,
        answer: json::<Schedules>(),
        handler: || get(schedules::list),
    },
    Route {
        name: "add_schedule",
        method: "post",
        path: "/api/schedules",
        right: Right::Submit,
        summary: "Keep a manifest, and submit it when its rule says so",
        query: None,
        sent: Sent::Json(schema::<schedules::AddSchedule>),
        answer: json::<Schedule>(),
        handler: || post(schedules::add).layer(DefaultBodyLimit::max(submit::LARGEST)),
    },
    Route {
        name: "show_schedule",
        method: "get",
        path: "/api/schedules/{schedule}",
        right: Right::Read,
        summary: "A schedule, its manifest, and what became of its times",
        query: None,
        sent: Sent::Nothing,
        answer: json::<ShownSchedule>(),
        handler: || get(schedules::show),
    },
    Route {
        name: "run_schedule",
        method: "post",
        path: "/api/schedules/{schedule}/run",
        right: Right::Change,
        summary: "Submit its sweep now, or for a time: once for each time",
        query: None,
        sent: Sent::Json(schema::<schedules::RunSchedule>),
        answer: json::<AskedRun>(),
        handler: || post(schedules::run),
    },
    Route {
        name: "pause_schedule",
        method: "post",
        path: "/api/schedules/{schedule}/pause",
        right: Right::Change,
        summary: "Submit nothing by its rule; times that pass meanwhile are not made up",
        query: None,
        sent: Sent::Json(schema::<actions::Nothing>),
        answer: json::<Changed>(),
        handler: || post(schedules::pause),
    },
    Route {
        name: "resume_schedule",
        method: "post",
        path: "/api/schedules/{schedule}/resume",
        right: Right::Change,
        summary: "Go on with a paused schedule",
        query: None,
        sent: Sent::Json(schema::<actions::Nothing>),
        answer: json::<Changed>(),
        handler: || post(schedules::resume),
    },
    Route {
        name: "remove_schedule",
        method: "post",
        path: "/api/schedules/{schedule}/remove",
        right: Right::Change,
        summary: "Remove a schedule and its history; its sweeps stay",
        query: None,
        sent: Sent::Json(schema::<actions::Nothing>),
        answer: json::<Changed>(),
        handler: || post(schedules::remove),
    },
];
