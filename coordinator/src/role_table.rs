//! The table of who may call what, to be read: as it is in the code.

use std::fmt::Write;

use bt_model::role::Role;
use bt_proto::Method;

use crate::access::rights::{self, Right};
use crate::http;

/// What each role may do, and what each call needs, as Markdown.
pub fn role_table() -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    let names = Role::ALL.map(Role::name);
    writeln!(page, "| right | {} | for |", names.join(" | "))?;
    writeln!(page, "| --- |{} --- |", " --- |".repeat(names.len()))?;
    for right in Right::ALL {
        let has = Role::ALL.map(|role| if right.is_of(role) { "yes" } else { "" });
        writeln!(page, "| {right:?} | {} | {} |", has.join(" | "), right.meaning())?;
    }
    writeln!(page, "\n## Over gRPC\n\n| call | right | roles |\n| --- | --- | --- |")?;
    for method in Method::ALL {
        row(&mut page, method.short(), rights::of(*method))?;
    }
    row(&mut page, "grpc.health.v1.Health/*", rights::of_path("/grpc.health.v1.Health/Check"))?;
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    row(&mut page, "grpc.reflection.v1.ServerReflection/*", rights::of_path(reflection))?;
    writeln!(page, "\n## Over HTTP\n\n| call | right | roles |\n| --- | --- | --- |")?;
    for (method, route, right) in http::rights() {
        // The names of these hold their hashes.
        if !route.starts_with("/assets/") {
            row(&mut page, &format!("{method} {route}"), right)?;
        }
    }
    Ok(page)
}

fn row(page: &mut String, call: &str, right: Right) -> std::fmt::Result {
    let roles = if right == Right::None { "anybody".to_owned() } else { right.roles() };
    writeln!(page, "| `{call}` | {right:?} | {roles} |")
}
