//! The whole-system tests: real processes, a real Postgres, real containers. One file for each thing that users rely on.

#![expect(clippy::unwrap_used, reason = "a test fails where it can't go on")]

mod analysis;
mod bad_input;
mod batches;
mod blame;
mod container;
mod cuts;
mod engine;
mod example;
mod faults;
mod fetch;
mod history;
mod hostile;
mod images;
mod inside;
mod keep;
mod local;
mod logs;
mod manage;
mod metrics;
mod mounts;
mod naming;
mod offers;
mod open;
mod options;
mod order;
mod output;
mod provenance;
mod rerun;
mod results;
mod reuse_results;
mod reuse_twins;
mod schemas;
mod setup;
mod several;
mod shipping;
mod stores;
mod submit;
mod tending;
mod tidy;
mod up;
mod uploads;
mod values;
mod wire;
