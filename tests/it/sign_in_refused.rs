//! Who is not signed in, and is told why: what is forged, stolen or refused, and settings that do not fit.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bt_tests::http::curl;
use bt_tests::{Cluster, Options, Person, wait_until};
use serde_json::{Value, json};

use crate::sign_in::{admin, at_issuer, begun, callback, is_nowhere, signed_in, tell, with_issuer};

#[test]
fn a_code_is_worth_nothing_in_another_browser() {
    let (cluster, _issuer) = with_issuer(Options::simulated(&[]), &json!({}), &[], None);
    let page = cluster.address();
    // Olga's browser is sent back with a code, which somebody takes before her browser brings it.
    let olga = Person::new();
    let login = at_issuer(&olga, &page, "");
    let consent = olga.send(&login, &[("login", "olga"), ("password", "x")]);
    let confirm = consent.text.split("action=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut at = olga.ask(&confirm, &["-d", "prompt=consent"]);
    while !at.url.contains("code=") {
        at = olga.ask(&at.url, &[]);
    }
    let stolen = at.url.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    // The thief has begun a sign-in too, so that state and cookie fit.
    let thief = Person::new();
    let begun = thief.ask(&format!("{page}/login/oidc?next="), &[]);
    let state = begun.url.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let refused = thief.open(&format!("{page}/login/oidc/callback?code={stolen}&state={state}"));
    assert_eq!(refused.status, 401, "{refused:?}");
    assert!(refused.text.contains("given to another browser"), "{}", refused.text);
    assert!(!thief.cookies().contains("btctl_session"));
    // Nor can olga be brought in as somebody else by a link.
    let forced = olga.open(&format!("{page}/login/oidc/callback?code=x&state={state}"));
    assert!(forced.status == 401 && forced.text.contains("not begun in this browser"), "{forced:?}");
    // Another issuer's answer.
    let mallory = Person::new();
    let begun = mallory.ask(&format!("{page}/login/oidc?next="), &[]);
    let state = begun.url.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let mixed = mallory
        .open(&format!("{page}/login/oidc/callback?code=x&state={state}&iss=https%3A%2F%2Fevil.example"));
    assert!(mixed.status == 401 && mixed.text.contains("another issuer"), "{mixed:?}");
}

#[test]
fn what_the_issuer_did_not_sign_for_this_sign_in_is_refused() {
    let (mut cluster, issuer) = with_issuer(Options::simulated(&[]), &json!({}), &[], None);
    let page = cluster.address();
    for (how, told) in [
        ("none", "not signed in a way that is taken"),
        ("hmac", "not signed in a way that is taken"),
        ("text", "not signed in a way that is taken"),
        ("foreign", "its signature is not the issuer"),
        ("changed", "its signature is not the issuer"),
        ("unknown", "no key of the issuer"),
        ("issuer", "made by another issuer"),
        ("audience", "made for another client"),
        ("party", "made for another client"),
        ("expired", "it has expired"),
        ("future", "made in the future"),
        ("endless", "it has no `exp`"),
        ("nonce", "made for another sign-in"),
        ("nonceless", "made for another sign-in"),
    ] {
        issuer.forge(Some(how));
        let person = Person::new();
        let refused = callback(&person, &page, "ann");
        assert_eq!(refused.status, 401, "{how}: {refused:?}");
        assert!(refused.text.contains(told), "{how}: {}", refused.text);
        assert!(!person.cookies().contains("btctl_session"), "{how}");
        assert!(!refused.text.contains("hunter2"));
    }
    assert!(signed_in(&cluster).is_empty());
    is_nowhere(&mut cluster, "hunter2");
    // Clocks that differ a little do no harm.
    issuer.forge(Some("skewed"));
    assert_eq!(callback(&Person::new(), &page, "ann").status, 200);
    // Over the device flow the same is looked at.
    issuer.forge(Some("foreign"));
    let (mut login, address, code) = begun(&cluster, "login");
    Person::new().enter(&address, &code, "ann");
    assert_eq!(login.wait(), 4, "{}", login.log());
    assert!(login.log().contains("its signature is not the issuer"), "{}", login.log());
}

#[test]
fn who_has_no_role_or_no_name_is_told_why() {
    let (cluster, _issuer) = with_issuer(Options::simulated(&[]), &json!({ "device": 3 }), &[], None);
    let page = cluster.address();
    for (name, told) in [
        ("bob", "bob@firm.example is known to the issuer, and has no role here: nothing in groups gives one"),
        ("eve", "does not say that ann@firm.example is verified"),
        ("root", "`root` is who holds"),
        ("x,y", "no commas"),
    ] {
        let person = Person::new();
        let refused = callback(&person, &page, name);
        assert!(refused.status == 403 && refused.text.contains(told), "{name}: {refused:?}");
        assert!(!person.cookies().contains("btctl_session"));
    }
    // The highest role counts.
    let olga = Person::new();
    assert_eq!(callback(&olga, &page, "olga").status, 200);
    assert!(olga.open(&format!("{page}/queue")).text.contains("olga@firm.example (operator)"));
    let audit: Value =
        serde_json::from_str(&admin(&cluster, &["audit", "--who", "bob@firm.example", "-o", "json"]).stdout)
            .unwrap();
    assert!(audit[0]["outcome"].as_str().unwrap().starts_with("refused"), "{audit}");

    // Who says no at the issuer, on the page and with a code; and a code that nobody enters.
    let person = Person::new();
    let login = at_issuer(&person, &page, "");
    let abort =
        login.text.split("href=\"").find(|part| part.contains("/abort")).unwrap().split('"').next().unwrap();
    let abort = if abort.contains("://") {
        abort.to_owned()
    } else {
        format!("{}{abort}", login.url.split("/interaction").next().unwrap())
    };
    let refused = person.open(&abort);
    assert!(refused.status == 403 && refused.text.contains("refused at the issuer"), "{refused:?}");
    let (mut late, ..) = begun(&cluster, "late");
    assert_eq!(late.wait(), 4, "{}", late.log());
    assert!(late.log().contains("btctl login again"), "{}", late.log());
}

#[test]
fn who_declines_the_code_is_not_signed_in() {
    let (cluster, _issuer) =
        with_issuer(Options::simulated(&[]), &json!({}), &["--oidc-session", "1m"], None);
    let (mut login, address, code) = begun(&cluster, "login");
    let person = Person::new();
    let confirm = person.send(&person.open(&address), &[("user_code", &code)]);
    person.send(&confirm, &[("abort", "yes")]);
    assert_eq!(login.wait(), 4, "{}", login.log());
    assert!(login.log().contains("refused at the issuer"), "{}", login.log());
    // A code that was never given out, and one that was used.
    let (mut login, address, code) = begun(&cluster, "again");
    Person::new().enter(&address, &code, "ann");
    assert_eq!(login.wait(), 0, "{}", login.log());
    let until = cluster.json(&["whoami"]);
    assert!(until["expires"].is_string(), "{until}");
    cluster.database.query("update tokens set expires_at = now() where issuer is not null");
    let ended = wait_until("it has ended", || {
        let ended = cluster.run(&["ls"]);
        (ended.code == 4).then_some(ended)
    });
    assert!(ended.stderr.contains("sign in again (btctl login"), "{ended:?}");
    // Signing in needs no token that holds.
    let (mut login, address, code) = begun(&cluster, "anew");
    Person::new().enter(&address, &code, "ann");
    assert_eq!(login.wait(), 0, "{}", login.log());
    assert_eq!(cluster.run(&["ls"]).code, 0);
    // One that was revoked can be signed out of.
    cluster.database.query("update tokens set revoked_at = now() where issuer is not null");
    wait_until("it is revoked", || (cluster.run(&["ls"]).code == 4).then_some(()));
    let out = cluster.run(&["logout"]);
    assert!(out.code == 0 && out.stderr.contains("was revoked"), "{out:?}");
}

#[test]
fn an_issuer_that_is_away_or_changes_its_keys_stops_nobody_for_long() {
    let (mut cluster, mut issuer) = with_issuer(Options::simulated(&[]), &json!({ "thin": true }), &[], None);
    let page = cluster.address();
    // What the ID token does not hold is asked for.
    assert_eq!(callback(&Person::new(), &page, "ann").status, 200);
    assert!(issuer.asked().contains(&"GET /me".to_owned()));
    issuer.stop();
    let away = Person::new().open(&format!("{page}/login/oidc?next=queue"));
    assert!(away.url.starts_with(&issuer.url()), "it is known where to go: {away:?}");
    // With the issuer away a coordinator starts, and says so; all else goes on.
    assert_eq!(cluster.coordinator().terminate(), 0);
    cluster.start_coordinator();
    wait_until("it says so", || cluster.coordinator().log().contains("nobody can sign in yet").then_some(()));
    let refused = Person::new().open(&format!("{page}/login/oidc?next=queue"));
    assert!(refused.status == 503 && refused.text.contains("can&#39;t be reached now"), "{refused:?}");
    assert!(refused.text.contains("name=\"token\""), "a token still does");
    let login = cluster.run(&["login"]);
    assert!(login.code == 5 && login.stderr.contains("can't be reached now"), "{login:?}");
    issuer.start_again();
    let leads_there = || {
        let sent = Person::new().open(&format!("{page}/login/oidc?next=queue"));
        sent.url.starts_with(&issuer.url()).then_some(())
    };
    wait_until("the issuer is found again", leads_there);
    let again = callback(&Person::new(), &page, "ann");
    assert_eq!(again.status, 200, "{again:?} {}", cluster.coordinator().log());
    // Its keys are other ones from now on.
    issuer.stop();
    issuer.start_again();
    let signed = wait_until("the new keys are read", || {
        let shown = callback(&Person::new(), &page, "ann");
        (shown.status == 200).then_some(shown)
    });
    assert!(signed.text.contains("ann@firm.example"));
}

#[test]
fn what_the_issuer_does_not_know_is_told_of_as_a_wrong_setting() {
    let (mut cluster, issuer) = with_issuer(Options::simulated(&[]), &json!({ "noDevice": true }), &[], None);
    let login = cluster.run(&["login"]);
    assert!(login.code == 1 && login.stderr.contains("has no device flow"), "{login:?}");
    let (page, url) = (cluster.address(), issuer.url());
    let wrong = cluster.dir().join("wrong.secret");
    fs::write(&wrong, "hunter2").unwrap();
    fs::set_permissions(&wrong, fs::Permissions::from_mode(0o600)).unwrap();
    let wrong = wrong.display().to_string();
    tell(&mut cluster, &url, &page, &["--oidc-client-secret-file", &wrong]);
    let refused = callback(&Person::new(), &page, "ann");
    assert!(refused.status == 500 && refused.text.contains("(invalid_client)"), "{refused:?}");
    assert!(refused.text.contains("--oidc-client-secret-file") && !refused.text.contains("hunter2"));
    is_nowhere(&mut cluster, "hunter2");
    // An address that is not registered is the issuer's to refuse: it sends nobody there.
    let elsewhere = page.replace("127.0.0.1", "localhost");
    tell(&mut cluster, &url, &elsewhere, &[]);
    let shown = Person::new().open(&format!("{elsewhere}/login/oidc?next="));
    assert!(
        shown.status == 400 && shown.url.starts_with(&url) && shown.text.contains("redirect_uri"),
        "{shown:?}"
    );
    // A browser that has the page by another name is sent to the one that the issuer knows.
    let moved = Person::new().ask(&format!("{page}/login/oidc?next=queue"), &[]);
    assert_eq!(moved.url, format!("{elsewhere}/login/oidc?moved=true&next=queue"));
    // An issuer that calls itself something else.
    tell(&mut cluster, &format!("{url}/"), &page, &[]);
    let other = Person::new().open(&format!("{page}/login/oidc?next="));
    assert!(other.status == 500 && other.text.contains("calls itself"), "{other:?}");
}

#[test]
fn a_coordinator_without_an_issuer_says_so_and_settings_that_lack_something_are_refused() {
    let cluster = Cluster::without_agent(Options { tokens: true, ..Options::simulated(&[]) });
    let login = cluster.run(&["login"]);
    assert!(login.code == 1 && login.stderr.contains("no identity provider"), "{login:?}");
    let out = cluster.run(&["logout"]);
    assert!(out.code == 0 && out.stderr.contains("nobody is signed in"), "{out:?}");
    assert_eq!(curl(&cluster, "/login/oidc", &[]).status, 404);
    assert!(!curl(&cluster, "/", &["-H", "Accept: text/html"]).text().contains("Sign in with"));
    let told = |flags: &[&str], part: &str| {
        let all = [&["coordinator", "--store", "s", "--database-url", "postgres://x"], flags].concat();
        let told = cluster.run(&all);
        assert!(told.code == 2 && told.stderr.contains(part), "{flags:?}: {told:?}");
    };
    let issuer = ["--oidc-issuer", "https://login.firm.example"];
    told(&issuer, "--oidc-client-id");
    told(&["--oidc-client-id", "btctl"], "--oidc-issuer");
    told(&["--oidc-role", "groups:viewer"], "CLAIM=VALUE:ROLE");
    told(&["--oidc-role", "groups=a:agent"], "viewer, submitter, operator or admin");
    let all =
        [&issuer[..], &["--oidc-client-id", "btctl", "--auth", "tokens", "--oidc-default-role", "viewer"]]
            .concat();
    told(&all, "--public-url");
    let public = [&all[..], &["--public-url", "https://btctl.firm.example"]].concat();
    let loose = cluster.dir().join("loose.secret");
    fs::write(&loose, "x").unwrap();
    fs::set_permissions(&loose, fs::Permissions::from_mode(0o644)).unwrap();
    let loose = loose.display().to_string();
    let all = [&["coordinator", "--store", "s", "--database-url", "postgres://x"], &public[..]].concat();
    let told = cluster.run(&[&all[..], &["--oidc-client-secret-file", &loose]].concat());
    assert!(told.code == 1 && told.stderr.contains("chmod o="), "{told:?}");
}
