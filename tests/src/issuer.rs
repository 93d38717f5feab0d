//! A real OpenID Connect issuer (npm's oidc-provider, tests/issuer), and people with a browser who sign in there.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::node;
use crate::process::{Process, btctl_path, free_port};
use crate::wait_until;

/// An issuer that does not listen after this time never will.
const HUNG: Duration = Duration::from_secs(45);

/// A running issuer, which knows a client by the id `btctl`.
#[derive(Debug)]
pub struct Issuer {
    server: Process,
    given: Value,
    dir: TempDir,
}

/// Somebody with a browser that keeps cookies and runs no scripts.
#[derive(Debug)]
pub struct Person {
    jar: TempDir,
    /// It believes any certificate.
    believes_all: bool,
}

/// A page that a browser shows.
#[derive(Clone, Debug)]
pub struct Shown {
    pub status: u16,
    /// Where the browser is.
    pub url: String,
    pub text: String,
}

impl Issuer {
    /// One that sends browsers back to these addresses, with more keys of what tests/issuer/issuer.mjs is given.
    pub fn start(redirects: &[&str], more: &Value) -> Self {
        let mut given = json!({ "port": free_port(), "redirects": redirects });
        let more = more.as_object().cloned().unwrap_or_default();
        given.as_object_mut().expect("it is an object").extend(more);
        let dir = tempfile::tempdir().expect("make a directory");
        let server = serve(&given, dir.path());
        let mut issuer = Self { server, given, dir };
        issuer.wait();
        issuer
    }

    pub fn url(&self) -> String {
        let scheme = if self.given["key"].is_string() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.given["port"])
    }

    /// Waits until it listens. Node.js was seen to hang at its start on a busy machine: then it is started again.
    fn wait(&mut self) {
        let port = self.given["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
        let mut started = Instant::now();
        wait_until("the issuer answers", || {
            let answer = std::net::TcpStream::connect(("127.0.0.1", port)).ok();
            if answer.is_none() && started.elapsed() > HUNG {
                self.server.kill();
                self.server = serve(&self.given, self.dir.path());
                started = Instant::now();
            }
            answer
        });
    }

    pub fn stop(&mut self) {
        self.server.kill();
    }

    /// The same again, with a new key, and with nothing that it knew.
    pub fn start_again(&mut self) {
        self.server = serve(&self.given, self.dir.path());
        self.wait();
    }

    /// Has ID tokens replaced from now on with what somebody else would make; None: no more.
    pub fn forge(&self, how: Option<&str>) {
        self.test(Some(&json!({ "forge": how })));
    }

    /// The calls that it was asked, as `POST /token`.
    pub fn asked(&self) -> Vec<String> {
        let told = self.test(None);
        let asked = told["asked"].as_array().cloned().unwrap_or_default();
        asked.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn test(&self, body: Option<&Value>) -> Value {
        let mut command = Command::new("curl");
        command.args(["-s", "-k"]).arg(format!("{}/test", self.url()));
        if let Some(body) = body {
            command.args(["-d", &body.to_string()]);
        }
        let output = command.output().expect("curl is installed");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

fn serve(given: &Value, dir: &Path) -> Process {
    let tools = btctl_path().ancestors().nth(2).map(|target| target.join("tools/issuer")).unwrap_or_default();
    assert!(
        tools.join("node_modules/oidc-provider").is_dir(),
        "oidc-provider is missing; `scripts/setup tests` fetches it"
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("issuer/issuer.mjs");
    let mut command = Command::new(node());
    command.arg(script).arg(given.to_string()).env("ISSUER_TOOLS", tools);
    Process::start("issuer", dir, &mut command)
}

impl Person {
    pub fn new() -> Self {
        Self { jar: tempfile::tempdir().expect("make a directory"), believes_all: false }
    }

    /// One who is at two places with authorities of the same name, which curl can't tell apart.
    pub fn believing_all() -> Self {
        Self { believes_all: true, ..Self::new() }
    }

    /// Opens an address, and goes where it is sent.
    #[track_caller]
    pub fn open(&self, url: &str) -> Shown {
        self.browse(url, &["-L"])
    }

    /// Opens an address, and goes nowhere from there: where it would be sent is its second line.
    #[track_caller]
    pub fn ask(&self, url: &str, flags: &[&str]) -> Shown {
        self.browse(url, flags)
    }

    /// Sends the first form of a page with these entries.
    #[track_caller]
    pub fn send(&self, page: &Shown, entries: &[(&str, &str)]) -> Shown {
        let form = page.text.split_once("<form").unwrap_or_else(|| panic!("no form: {page:?}")).1;
        let form = form.split("</form>").next().unwrap_or_default();
        let action =
            attribute(form, "action").map_or_else(|| page.url.clone(), |action| from(&page.url, &action));
        let mut flags = vec!["-L".to_owned()];
        let hidden = form.split("<input").skip(1).filter(|input| input.contains("type=\"hidden\""));
        let hidden = hidden.filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?)));
        let hidden = hidden.filter(|(name, _)| entries.iter().all(|(own, _)| own != name));
        let own = entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        for (name, value) in hidden.chain(own) {
            flags.extend(["--data-urlencode".to_owned(), format!("{name}={value}")]);
        }
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        self.browse(&action, &flags)
    }

    /// Logs in at the issuer whose form is shown, and agrees to all that it asks.
    #[track_caller]
    pub fn log_in(&self, page: &Shown, name: &str) -> Shown {
        let consent = self.send(page, &[("login", name), ("password", "x")]);
        if consent.text.contains("name=\"prompt\" value=\"consent\"") {
            self.send(&consent, &[])
        } else {
            consent
        }
    }

    /// Enters the code of a device at the issuer, and logs in there.
    #[track_caller]
    pub fn enter(&self, address: &str, code: &str, name: &str) -> Shown {
        let confirm = self.send(&self.open(address), &[("user_code", code)]);
        let login = self.send(&confirm, &[("confirm", "yes")]);
        self.log_in(&login, name)
    }

    fn browse(&self, url: &str, flags: &[&str]) -> Shown {
        let jar = self.jar.path().join("jar");
        let mut command = Command::new("curl");
        command
            .args(["-s", "--max-time", "60", "-H", "Accept: text/html", "-b"])
            .arg(&jar)
            .arg("-c")
            .arg(&jar);
        if self.believes_all {
            command.arg("--insecure");
        }
        command.args(["-w", "\n%{http_code} %{url_effective} %{redirect_url}"]).args(flags).arg(url);
        let output = command.output().expect("curl is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (text, end) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{url}: {output:?}"));
        let mut parts = end.split(' ');
        let status = parts.next().and_then(|status| status.parse().ok()).unwrap_or_default();
        let here = parts.next().unwrap_or_default().to_owned();
        let sent = parts.next().filter(|sent| !sent.is_empty()).map(str::to_owned);
        Shown { status, url: sent.unwrap_or(here), text: text.to_owned() }
    }

    /// The cookies that it keeps, one a line.
    pub fn cookies(&self) -> String {
        fs::read_to_string(self.jar.path().join("jar")).unwrap_or_default()
    }
}

impl Default for Person {
    fn default() -> Self {
        Self::new()
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!("{name}=\""))?;
    let value = rest.split('"').next()?;
    Some(value.replace("&amp;", "&").replace("&#38;", "&"))
}

/// Where a form of a page leads.
fn from(page: &str, action: &str) -> String {
    if action.contains("://") {
        return action.to_owned();
    }
    let host_end = page.match_indices('/').nth(2).map_or(page.len(), |(at, _)| at);
    format!("{}{action}", &page[..host_end])
}
