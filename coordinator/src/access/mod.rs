//! Who may do what. Every call, over gRPC and HTTP alike, passes the guard (`guard.rs`), which asks here who calls
//! ([`Access::of_token`], [`Access::of_cookie`],
//! [`Access::of_certificate`]), looks up what the call needs ([`rights`], the one table) and whether the
//! caller's role has it, and says while the call runs who makes it ([`call`]). What was changed or refused is written down
//! ([`record`]).

pub(crate) mod call;
mod caller;
mod given;
mod identity;
mod known;
pub(crate) mod quotas;
pub(crate) mod record;
pub(crate) mod rights;
mod root;
mod secret;
mod service;
mod sign_in;
mod token_file;

pub(crate) use caller::{Known, Unknown};
pub use given::KnownToken;
pub(crate) use identity::{Identity, check_name, check_person};
pub(crate) use known::{Access, PAGE_SESSION};
pub(crate) use root::Root;
pub(crate) use service::AccessCalls;
pub use token_file::{make_admin_token_file, make_token_file};
