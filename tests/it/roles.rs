//! The table of roles, cell by cell: each call is made with each role's token, over gRPC and over HTTP, and what comes back is
//! held against docs/ROLES.md, which is made from the table in the code.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bt_proto::Method;
use bt_tests::{Cluster, Options};
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

const ROLES: [&str; 5] = ["viewer", "submitter", "operator", "admin", "agent"];
/// How long an answer that does not end is looked at.
const LOOK: Duration = Duration::from_millis(300);

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/ROLES.md");
    fs::read_to_string(path).unwrap()
}

/// The calls of a section, each with the roles that may make it.
fn section(page: &str, title: &str) -> BTreeMap<String, Vec<String>> {
    let (_, section) = page.split_once(title).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let row = |line: &str| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [call, _, roles] = cells[..] else { return None };
        let call = call.strip_prefix('`')?.strip_suffix('`')?;
        Some((call.to_owned(), roles.split(", ").map(str::to_owned).collect()))
    };
    section.lines().filter_map(row).collect()
}

/// A token of each role, and none.
fn callers(cluster: &Cluster) -> Vec<(&'static str, Option<String>)> {
    let token = |role: &'static str| (role, Some(cluster.token(role, &["--role", role])));
    ROLES.into_iter().map(token).chain([("anybody", None)]).collect()
}

/// What a role hears, where the table has these roles.
fn expected(roles: &[String], role: &str) -> &'static str {
    match role {
        _ if roles == ["anybody"] => "let in",
        "anybody" => "not known",
        role if roles.iter().any(|may| may == role) => "let in",
        _ => "denied",
    }
}

async fn call(channel: Channel, path: &'static str, token: Option<&str>) -> Result<(), Status> {
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(tokio_stream::once(()));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let path = PathAndQuery::from_static(path);
    let calling = client.streaming(request, path, ProstCodec::<(), ()>::default());
    let mut answers = timeout(Duration::from_secs(15), calling).await.expect("it answers")?.into_inner();
    match timeout(LOOK, answers.message()).await {
        Ok(Err(status)) => Err(status),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

#[tokio::test]
async fn each_call_over_grpc_is_for_the_roles_that_the_table_names() {
    let options = Options { tokens: true, ..Options::simulated(&[]) };
    let cluster = Cluster::without_agent(options);
    let table = section(&page(), "## Over gRPC");
    let channel = Endpoint::from_shared(cluster.address()).unwrap().connect().await.unwrap();
    let mut cells = 0;
    for (role, token) in callers(&cluster) {
        // KEDA's token stands within its calls, which are tried in `scaler`.
        for method in Method::ALL.iter().filter(|method| !method.short().starts_with("externalscaler.")) {
            let roles = table.get(method.short()).unwrap_or_else(|| panic!("no row for {}", method.short()));
            let heard = call(channel.clone(), method.path(), token.as_deref()).await;
            let heard = match heard.map_err(|status| status.code()) {
                Err(Code::Unauthenticated) => "not known",
                Err(Code::PermissionDenied) => "denied",
                Err(_) | Ok(()) => "let in",
            };
            assert_eq!(heard, expected(roles, role), "{} by {role}", method.short());
            cells += 1;
        }
        for (path, row) in [
            ("/grpc.health.v1.Health/Check", "grpc.health.v1.Health/*"),
            (
                "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                "grpc.reflection.v1.ServerReflection/*",
            ),
        ] {
            let heard = call(channel.clone(), path, token.as_deref()).await.map_err(|status| status.code());
            let heard = match heard {
                Err(Code::Unauthenticated) => "not known",
                Err(Code::PermissionDenied) => "denied",
                Err(_) | Ok(()) => "let in",
            };
            assert_eq!(heard, expected(&table[row], role), "{path} by {role}");
        }
    }
    assert_eq!(table.len(), Method::ALL.len() + 2);
    println!("{cells} cells over gRPC");
}

#[test]
fn each_route_of_http_is_for_the_roles_that_the_table_names() {
    let options = Options { tokens: true, ..Options::simulated(&[]) };
    let cluster = Cluster::without_agent(options);
    let table = section(&page(), "## Over HTTP");
    let mut cells = 0;
    for (role, token) in callers(&cluster) {
        for (route, roles) in &table {
            let (method, path) = route.split_once(' ').unwrap();
            // What a form of the page sends is looked at by itself (login.rs).
            if roles == &["anybody"] && method == "POST" {
                continue;
            }
            let path: String = path.replace("{*path}", "x").replace("{job}", "0").replace("{agent}", "x");
            let path = path.replace("{sweep}", "x").replace("{action}", "drain");
            let heard = status(&cluster, method, &path, token.as_deref());
            let heard = match heard {
                401 => "not known",
                403 => "denied",
                405 => panic!("{route} has another method"),
                _ => "let in",
            };
            // The page's buttons work from the page alone, and say so with the same code.
            let is_button = method == "POST" && !path.starts_with("/api/") && heard == "denied";
            if !(is_button && expected(roles, role) == "let in") {
                assert_eq!(heard, expected(roles, role), "{route} by {role}");
            }
            cells += 1;
        }
    }
    println!("{cells} cells over HTTP");
    assert!(cells > 300, "{cells}");
}

fn status(cluster: &Cluster, method: &str, path: &str, token: Option<&str>) -> u16 {
    let mut command = Command::new("curl");
    command.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "2", "-X", method]);
    if let Some(token) = token {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    if method == "POST" {
        command.args(["-H", "Content-Type: application/json", "-d", "{}"]);
    }
    let output = command.arg(format!("{}{path}", cluster.address())).output().unwrap();
    String::from_utf8_lossy(&output.stdout).parse().unwrap()
}
