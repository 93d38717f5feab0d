//! Signing in with a firm's identity provider: on the page and from the command line, against a real issuer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bt_tests::{
    Cluster, Finished, Issuer, Nginx, Options, Person, Process, Shown, browse_with_problems, wait_until,
};
use serde_json::{Value, json};

pub(crate) const SECRET: &str = "geheim-27/+&";
const ROLES: [&str; 4] =
    ["--oidc-role", "groups=quants:submitter", "--oidc-role", "groups=operators:operator"];

/// A coordinator and an issuer that know each other. `below` is the address that browsers use, if it is another one.
pub(crate) fn with_issuer(
    options: Options,
    more: &Value,
    flags: &[&str],
    below: Option<&str>,
) -> (Cluster, Issuer) {
    let mut cluster = Cluster::without_agent(Options { tokens: true, ..options });
    let public = below.map_or_else(|| cluster.address(), str::to_owned);
    let callback = format!("{public}/login/oidc/callback");
    let mut given = json!({ "secret": SECRET });
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let issuer = Issuer::start(&[&callback], &given);
    tell(&mut cluster, &issuer.url(), &public, flags);
    (cluster, issuer)
}

/// Starts the coordinator again, with an issuer.
pub(crate) fn tell(cluster: &mut Cluster, issuer: &str, public: &str, flags: &[&str]) {
    let secret = cluster.dir().join("client.secret");
    fs::write(&secret, format!("{SECRET}\n")).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let admin = cluster.dir().join("admin.token").display().to_string();
    let tls = cluster.dir().join("tls").display().to_string();
    let (secret, tls) = (secret.display().to_string(), tls.as_str());
    let mut all = vec!["--auth", "tokens", "--admin-token-file", &admin, "--public-url", public];
    all.extend([
        "--oidc-issuer",
        issuer,
        "--oidc-client-id",
        "btctl",
        "--oidc-scopes",
        "openid email groups",
    ]);
    if !flags.contains(&"--oidc-client-secret-file") {
        all.extend(["--oidc-client-secret-file", &secret]);
    }
    if Path::new(tls).exists() {
        all.extend(["--tls-dir", tls]);
    }
    all.extend(if flags.contains(&"--oidc-default-role") { &[][..] } else { &ROLES[..] });
    all.extend(flags);
    cluster.tell_coordinators(&all);
    assert_eq!(cluster.coordinator().terminate(), 0);
    cluster.start_coordinator();
}

/// A `btctl login` that has said where to go and what to enter there.
pub(crate) fn begun(cluster: &Cluster, name: &str) -> (Process, String, String) {
    let login = cluster.spawn(name, &["login"]);
    wait_until("it says where to go", || {
        let log = login.log();
        let (_, rest) = log.split_once("open ")?;
        let (address, rest) = rest.split_once(" and enter the code ")?;
        let code = rest.lines().next()?.to_owned();
        Some((address.to_owned(), code))
    });
    let log = login.log();
    let (_, rest) = log.split_once("open ").unwrap();
    let (address, rest) = rest.split_once(" and enter the code ").unwrap();
    let (address, code) = (address.to_owned(), rest.lines().next().unwrap().to_owned());
    (login, address, code)
}

/// The tokens that people signed in for.
pub(crate) fn signed_in(cluster: &Cluster) -> Vec<Value> {
    // The administrator's token goes before what login keeps.
    let token = fs::read_to_string(cluster.dir().join("admin.token")).unwrap();
    let listed = cluster.run_as(token.trim(), &["token", "ls", "-o", "json"]);
    let all: Value = serde_json::from_str(&listed.stdout).unwrap_or_else(|_| panic!("{listed:?}"));
    all.as_array().unwrap().iter().filter(|token| token["issuer"].is_string()).cloned().collect()
}

pub(crate) fn admin(cluster: &Cluster, args: &[&str]) -> Finished {
    let token = fs::read_to_string(cluster.dir().join("admin.token")).unwrap();
    cluster.run_as(token.trim(), args)
}

/// No log and no table has it.
#[track_caller]
pub(crate) fn is_nowhere(cluster: &mut Cluster, secret: &str) {
    let log = cluster.coordinator().log();
    assert!(!log.contains(secret), "the log has {secret}");
    let kept = cluster.database.query("select t::text from tokens t union all select a::text from audit a");
    assert!(!kept.join("\n").contains(secret), "Postgres has {secret}");
}

#[test]
fn on_the_command_line_one_signs_in_with_a_code_and_out_again() {
    let (mut cluster, issuer) = with_issuer(Options::simulated(&[]), &json!({}), &[], None);
    let before = cluster.json(&["whoami"]);
    assert_eq!((&before["name"], &before["issuer"]), (&json!("root"), &Value::Null));
    let (mut login, address, code) = begun(&cluster, "login");
    assert!(address.starts_with(&issuer.url()), "{address}");
    let done = Person::new().enter(&address, &code, "ann");
    assert!(done.text.contains("Sign-in Success"), "{done:?}");
    assert_eq!(login.wait(), 0, "{}", login.log());
    assert!(login.log().contains("signed in as ann@firm.example (submitter) until "), "{}", login.log());

    let who = cluster.json(&["whoami"]);
    assert_eq!((&who["name"], &who["role"]), (&json!("ann@firm.example"), &json!("submitter")), "{who}");
    assert_eq!(
        (&who["owners"], &who["issuer"]),
        (&json!(["ann@firm.example"]), &json!(issuer.url())),
        "{who}"
    );
    assert!(cluster.ok(&["whoami"]).contains("signed in with http://127.0.0.1"));
    let dir = cluster.dir().join("config/btctl/logins");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!((files.len(), mode(&dir), mode(&files[0])), (1, 0o700, 0o600), "{files:?}");
    let token = fs::read_to_string(&files[0]).unwrap().trim().to_owned();
    assert!(token.starts_with("btctl_"));
    is_nowhere(&mut cluster, token.rsplit('_').next().unwrap());
    is_nowhere(&mut cluster, SECRET);

    let listed = signed_in(&cluster);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["state"], &listed[0]["created_by"]), (&json!("holds"), &json!("127.0.0.1")));
    let span = cluster.database.query(
        "select round(extract(epoch from expires_at - created_at)) from tokens where issuer is not null",
    );
    assert_eq!(span, ["43200"]);
    cluster.ok(&["submit", "--image", "x", "--name", "anns", "--", "x"]);
    assert_eq!(cluster.run(&["token", "ls"]).code, 4, "a submitter may not");
    // The token is for this coordinator alone.
    let elsewhere = format!("{},http://127.0.0.1:1", cluster.address());
    let other: Value =
        serde_json::from_str(&cluster.run(&["--coordinator", &elsewhere, "whoami", "-o", "json"]).stdout)
            .unwrap();
    assert_eq!(other["name"], "root");

    let out = cluster.run(&["logout"]);
    assert!(out.code == 0 && out.stderr.contains("ann@firm.example is signed out"), "{out:?}");
    assert!(!files[0].exists());
    assert_eq!(cluster.run_as(&token, &["ls"]).code, 4, "the token is revoked");
    assert_eq!(cluster.json(&["whoami"])["name"], "root");
    assert!(cluster.run(&["logout"]).stderr.contains("nobody is signed in"));
    let audit = cluster.json(&["audit", "--who", "ann@firm.example"]);
    let entry = |what: &str| audit.as_array().unwrap().iter().find(|entry| entry["what"] == what).cloned();
    let signed = entry("Access/PollSignIn").unwrap();
    assert_eq!((&signed["outcome"], &signed["role"]), (&json!("done"), &json!("submitter")), "{signed}");
    assert_eq!(signed["after"]["issuer"], json!(issuer.url()), "{signed}");
    assert_eq!(entry("Access/SignOut").unwrap()["outcome"], "done");
    let polled = audit.as_array().unwrap().iter().filter(|entry| entry["what"] == "Access/PollSignIn");
    assert_eq!(polled.count(), 1, "waiting is no change: {audit}");
}

/// The page to log in with, up to where the issuer asks who one is.
#[track_caller]
pub(crate) fn at_issuer(person: &Person, page: &str, next: &str) -> Shown {
    let asked = person.open(&format!("{page}/{next}"));
    assert!(asked.status == 401 && asked.text.contains("Sign in with 127.0.0.1"), "{asked:?}");
    let begin = asked.text.split("href=\"").find(|part| part.contains("login/oidc?")).unwrap();
    let begin = begin.split('"').next().unwrap().trim_start_matches("../");
    person.open(&format!("{page}/{begin}"))
}

/// The callback's address, and what is answered there.
pub(crate) fn callback(person: &Person, page: &str, name: &str) -> Shown {
    let login = at_issuer(person, page, "queue");
    person.log_in(&login, name)
}

#[test]
fn on_the_page_one_signs_in_by_a_button_and_out_again() {
    let (mut cluster, _issuer) = with_issuer(Options::simulated(&[]), &json!({}), &[], None);
    let page = cluster.address();
    admin(&cluster, &["submit", "--image", "x", "--name", "roots", "--", "x"]);
    let ann = Person::new();
    let login = at_issuer(&ann, &page, "sweeps/roots?by=sharpe");
    assert!(login.text.contains("name=\"login\""), "{login:?}");
    let kept = ann.cookies();
    let of_sign_in = kept.lines().find(|line| line.contains("btctl_sign_in")).unwrap();
    assert!(of_sign_in.starts_with("#HttpOnly_") && of_sign_in.contains("\t/login/oidc\t"), "{kept}");
    let done = ann.log_in(&login, "ann");
    assert!(done.status == 200 && done.text.contains("You are ann@firm.example"), "{done:?}");
    assert!(done.text.contains("content=\"0; url=../../sweeps/roots?by=sharpe\""), "{}", done.text);
    let kept = ann.cookies();
    assert!(kept.lines().any(|line| line.contains("\t/\t") && line.contains("btctl_session")), "{kept}");
    let shown = ann.open(&format!("{page}/sweeps/roots"));
    assert!(shown.status == 200 && shown.text.contains("ann@firm.example (submitter)"), "{shown:?}");

    // The same answer of the issuer again, from the same browser and from another.
    assert!(done.url.contains("code="), "{}", done.url);
    for again in [&ann, &Person::new()] {
        let refused = again.open(&done.url);
        // A browser that keeps the cookie of a sign-in for too long gets no further: the code was used.
        let why = ["not begun in this browser", "does not take the code of this sign-in"];
        let is_told = why.iter().any(|why| refused.text.contains(why));
        assert!(refused.status == 401 && is_told, "{refused:?}");
    }
    assert_eq!(ann.open(&format!("{page}/queue")).status, 200, "ann is still in");
    let code = done.url.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    is_nowhere(&mut cluster, &code);

    assert_eq!(signed_in(&cluster).len(), 1);
    let out = ann.ask(&format!("{page}/logout"), &["-X", "POST", "-H", "Sec-Fetch-Site: same-origin"]);
    assert_eq!(out.status, 303, "{out:?}");
    assert_eq!(ann.open(&format!("{page}/queue")).status, 401);
    assert_eq!(signed_in(&cluster)[0]["state"], "revoked");
    let audit: Value = serde_json::from_str(&admin(&cluster, &["audit", "-o", "json"]).stdout).unwrap();
    let of_callback = |outcome: &str| {
        let is = |entry: &&Value| {
            entry["what"] == "GET /login/oidc/callback"
                && entry["outcome"].as_str().unwrap().contains(outcome)
        };
        audit.as_array().unwrap().iter().find(is).cloned().unwrap_or_else(|| panic!("{audit:#}"))
    };
    assert_eq!(of_callback("done")["who"], "ann@firm.example");
    assert_eq!(of_callback("refused")["who"], "unknown");
}

#[test]
fn over_tls_both_ways_work() {
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().display().to_string();
    let plain = Cluster::without_agent(Options::simulated(&[]));
    plain.ok(&["coordinator", "init", "--tls-dir", &tls, "--name", "127.0.0.1"]);
    let of = |name: &str| dir.path().join(name).display().to_string();
    let given = json!({ "key": of("server.key"), "certificate": of("server.pem") });
    let options = Options {
        tls: true,
        env: vec![("SSL_CERT_FILE".to_owned(), of("ca.pem"))],
        ..Options::simulated(&[])
    };
    let (mut cluster, issuer) = with_issuer(options, &given, &[], None);
    assert!(issuer.url().starts_with("https://"));
    let (mut login, address, code) = begun(&cluster, "login");
    let ann = Person::believing_all();
    ann.enter(&address, &code, "ann");
    assert_eq!(login.wait(), 0, "{}", login.log());
    assert_eq!(cluster.json(&["whoami"])["name"], "ann@firm.example");
    let page = cluster.address();
    let olga = Person::believing_all();
    assert_eq!(callback(&olga, &page, "olga").status, 200);
    let session = olga.cookies();
    let session = session.lines().find(|line| line.contains("btctl_session")).unwrap().to_owned();
    assert!(session.contains("\tTRUE\t"), "it is for https alone: {session}");
    // An issuer whose certificate nobody here has signed is not believed.
    let (url, flags) = (issuer.url(), ["--oidc-session", "2m"]);
    drop(plain);
    let mut unknowing = Cluster::without_agent(Options { tokens: true, ..Options::simulated(&[]) });
    let public = unknowing.address();
    tell(&mut unknowing, &url, &public, &flags);
    let refused = unknowing.run(&["login"]);
    assert!(refused.code == 5 && refused.stderr.contains("can't be reached now"), "{refused:?}");
    is_nowhere(&mut cluster, SECRET);
}

#[test]
fn below_a_proxys_path_one_signs_in_too() {
    let cluster = Cluster::without_agent(Options { tokens: true, ..Options::simulated(&[]) });
    let nginx = Nginx::start(&cluster.address());
    let below = format!("http://127.0.0.1:{}/btctl", nginx.port());
    let issuer = Issuer::start(&[&format!("{below}/login/oidc/callback")], &json!({ "secret": SECRET }));
    let mut cluster = cluster;
    tell(&mut cluster, &issuer.url(), &below, &[]);
    let ann = Person::new();
    let done = callback(&ann, &below, "ann");
    assert!(done.status == 200 && done.text.contains("url=../../queue"), "{done:?}");
    let kept = ann.cookies();
    assert!(kept.contains("\t/btctl\t"), "{kept}");
    assert!(ann.open(&format!("{below}/queue")).text.contains("ann@firm.example (submitter)"));
    let out = ann.ask(&format!("{below}/logout"), &["-X", "POST", "-H", "Sec-Fetch-Site: same-origin"]);
    assert_eq!(out.status, 303);
    assert_eq!(ann.open(&format!("{below}/queue")).status, 401);
    assert!(!ann.cookies().contains("btctl_session"), "the cookie is gone, too: {}", ann.cookies());
}

#[test]
fn in_a_real_browser_the_button_leads_to_the_page_that_was_wanted() {
    let (cluster, issuer) = with_issuer(Options::simulated(&[]), &json!({}), &[], None);
    let given =
        json!({ "address": format!("{}/", cluster.address()), "next": "/queue", "issuer": issuer.url() });
    let (seen, problems) = browse_with_problems("sign_in.mjs", &given);
    // The issuer's pages are elsewhere, and that is meant.
    let others: Vec<_> = problems.iter().filter(|problem| !problem.contains(&issuer.url())).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(seen["came"], format!("{}/queue", cluster.address()), "{seen:#}");
    assert!(seen["who"].as_str().unwrap().contains("ann@firm.example (submitter)"), "{seen:#}");
    assert_eq!(
        seen["cookies"],
        json!([{ "name": "btctl_session", "httpOnly": true, "sameSite": "Strict" }]),
        "{seen:#}"
    );
    assert_eq!(
        (&seen["stays"], &seen["out"], &seen["wrong"]),
        (&json!(1), &json!(1), &json!([])),
        "{seen:#}"
    );
}
