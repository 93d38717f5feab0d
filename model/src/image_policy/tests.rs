use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn names_are_taken_apart_as_docker_does() {
    for (image, registry, repository, tag, digest) in [
        ("bt", "docker.io", "library/bt", None, false),
        ("bt:1", "docker.io", "library/bt", Some("1"), false),
        ("team/bt:1", "docker.io", "team/bt", Some("1"), false),
        ("docker.io/bt", "docker.io", "library/bt", None, false),
        ("index.docker.io/bt", "docker.io", "library/bt", None, false),
        ("index.docker.io/team/bt", "docker.io", "team/bt", None, false),
        ("localhost/bt", "localhost", "bt", None, false),
        ("localhost:5000/bt:1", "localhost:5000", "bt", Some("1"), false),
        ("reg:5000/bt", "reg:5000", "bt", None, false),
        ("Reg.Example/bt", "reg.example", "bt", None, false),
        ("REG/bt", "reg", "bt", None, false),
        ("[::1]:5000/bt:1", "[::1]:5000", "bt", Some("1"), false),
        ("[2001:DB8::1]/a/b", "[2001:db8::1]", "a/b", None, false),
        ("10.0.0.1:5000/a/b/c:v1", "10.0.0.1:5000", "a/b/c", Some("v1"), false),
        (&format!("bt@sha256:{HEX}"), "docker.io", "library/bt", None, true),
        (&format!("reg:5000/bt:1@sha256:{HEX}"), "reg:5000", "bt", Some("1"), true),
    ] {
        let name = Reference::parse(image).expect(image);
        assert_eq!((name.registry.as_str(), name.repository.as_str()), (registry, repository), "{image}");
        assert_eq!((name.tag.as_deref(), name.digest.is_some()), (tag, digest), "{image}");
    }
    for image in [
        "",
        "b\u{e4}r",
        "r\u{435}g.io/bt",
        "reg:5000/",
        "Bt",
        "bt@sha256:12",
        "reg.io./bt",
        &format!("sha256:{HEX}"),
    ] {
        assert!(Reference::parse(image).is_err(), "{image}");
    }
}

fn allowed(patterns: &[&str]) -> AllowedImages {
    AllowedImages::new(patterns.iter().map(|pattern| pattern.parse().expect(pattern)).collect())
}

#[test]
fn a_pattern_allows_what_it_names_and_nothing_beside_it() {
    let id = format!("sha256:{HEX}");
    for (pattern, image, expected) in [
        ("registry.firm.example/quant/*", "registry.firm.example/quant/sma:1", true),
        ("registry.firm.example/quant/*", "registry.firm.example/quant/team/sma", true),
        ("registry.firm.example/quant/*", "REGISTRY.firm.example/quant/sma:1", true),
        ("Registry.Firm.Example/quant/*", "registry.firm.example/quant/sma:1", true),
        ("registry.firm.example/quant/*", &format!("registry.firm.example/quant/sma@sha256:{HEX}"), true),
        ("registry.firm.example/quant/*", "registry.firm.example/quant:1", false),
        ("registry.firm.example/quant/*", "registry.firm.example/quantum/sma", false),
        ("registry.firm.example/quant/*", "registry.firm.example:443/quant/sma", false),
        ("registry.firm.example/quant/*", "registry.firm.example.evil.io/quant/sma", false),
        ("registry.firm.example/quant/*", "evil.io/registry.firm.example/quant/sma", false),
        ("registry.firm.example/quant/*", "quant/sma", false),
        ("registry.firm.example/quant/*", &id, false),
        ("reg:5000/*", "reg:5000/a/b:1", true),
        ("reg:5000/*", "reg:5001/a/b:1", false),
        ("[::1]:5000/*", "[::1]:5000/a", true),
        ("[::1]:5000/*", "[::2]:5000/a", false),
        ("localhost/bt", "localhost/bt:3", true),
        ("python", "python:3.11", true),
        ("python", "docker.io/library/python:3.11", true),
        ("python", "index.docker.io/library/python", true),
        ("python", "team/python", false),
        ("python", "localhost/python", false),
        ("docker.io/library/sma-*", "sma-cross:1", true),
        ("docker.io/library/sma-*", "sma:1", false),
        ("docker.io/*", "python:3", true),
        ("docker.io/*", "team/python:3", true),
        ("team/*", "team/bt:1", true),
        ("team/*", "steam/bt:1", false),
        ("*.firm.example/*", "a.firm.example/x:1", true),
        ("*.firm.example/*", "a.b.firm.example/x:1", true),
        ("*.firm.example/*", "firm.example/x:1", false),
        ("*.firm.example/*", "evilfirm.example/x:1", false),
        ("reg.io/a*b*c", "reg.io/a1b2c", true),
        ("reg.io/a*b*c", "reg.io/abc", true),
        ("reg.io/a*b*c", "reg.io/acb", false),
        ("reg.io/aba*aba", "reg.io/aba", false),
        // An engine would take it for the beginning of an id.
        ("docker.io/*", "deadbeef", false),
        ("docker.io/*", "deadbeef:1", true),
        ("docker.io/*", HEX, false),
        ("sha256:*", &id, true),
        (&id, &id, true),
        (&id, &format!("sha256:{}", "0".repeat(64)), false),
        ("sha256:*", "bt:1", false),
        ("sha256:*", "sha256:1", false),
    ] {
        let refusal = allowed(&[pattern]).refusal(image);
        assert_eq!(refusal.is_none(), expected, "{pattern} {image}: {refusal:?}");
    }
    assert_eq!(AllowedImages::default().refusal("anything"), None);
    let told = allowed(&["python", "reg:5000/*"]).refusal("bt:1").unwrap();
    assert_eq!(
        told,
        "the image bt:1 is docker.io/library/bt, and only these are allowed: docker.io/library/python, reg:5000/*"
    );
}

#[test]
fn a_pattern_that_means_something_else_is_refused() {
    for (pattern, part) in [
        ("", "every image"),
        ("*", "every image"),
        ("*/*", "every image"),
        ("*/quant", "is no registry"),
        ("q*/sma", "is no registry"),
        ("reg*.io/x", "at its beginning only"),
        ("registry.firm.example", "registry.firm.example/*"),
        ("reg:5000", "reg:5000/*"),
        ("reg:5000/bt:1", "names a tag"),
        ("bt@sha256:*", "names a digest"),
        ("reg.io/Quant/*", "has capitals"),
        ("reg.io/", "slash"),
        ("reg.io//x", "slash"),
        ("https://reg.io/x", "no scheme"),
        ("reg.io/\u{e4}*", "no character"),
        ("reg.io/a b", "no spaces"),
        ("sha256:12", "64 digits"),
        ("sha256:12*", "64 digits"),
    ] {
        let error = pattern.parse::<ImagePattern>().expect_err(pattern);
        assert!(error.contains(part), "{pattern}: {error}");
    }
    let shown = |pattern: &str| pattern.parse::<ImagePattern>().unwrap().to_string();
    assert_eq!(shown("python"), "docker.io/library/python");
    assert_eq!(shown("*.firm.example/x/*"), "*.firm.example/x/*");
    assert_eq!(shown("sha256:*"), "sha256:*");
}

#[test]
fn a_policy_says_what_would_be_right() {
    let policy = |change: fn(&mut ImagePolicy)| {
        let mut policy = ImagePolicy::default();
        change(&mut policy);
        policy
    };
    let digest = policy(|policy| policy.require_digest = true);
    let by_digest = format!("reg:5000/bt:1@sha256:{HEX}");
    let id = format!("sha256:{HEX}");
    for image in [&by_digest, &id] {
        assert_eq!(digest.refusal(image, None), None, "{image}");
    }
    let told = digest.refusal("reg:5000/bt:1", None).unwrap();
    assert!(
        told.contains("write reg:5000/bt@sha256:DIGEST") && told.contains("'{{.RepoDigests}}' reg:5000/bt:1"),
        "{told}"
    );
    assert_eq!(digest.refusal("bt:1", Some(&id)), None);

    let latest = policy(|policy| policy.refuse_latest = true);
    for (image, fits) in [
        ("bt", false),
        ("bt:latest", false),
        ("reg:5000/bt", false),
        ("bt:1", true),
        ("bt:latest-1", true),
        (&format!("bt:latest@sha256:{HEX}"), true),
        (&id, true),
    ] {
        assert_eq!(latest.refusal(image, None).is_none(), fits, "{image}");
    }
    assert!(latest.refusal("reg:5000/bt", None).unwrap().contains("such as reg:5000/bt:1.0"));

    let listed = ImagePolicy { allowed: allowed(&["reg:5000/*"]), ..ImagePolicy::default() };
    assert_eq!(listed.refusal("reg:5000/bt:1", Some(&by_digest)), None);
    // What it is called is not what it runs.
    assert!(listed.refusal("reg:5000/bt:1", Some(&id)).is_some());
    assert!(listed.refusal("reg:5000/bt:1", Some(&format!("bt@sha256:{HEX}"))).is_some());
    assert!(listed.refusal("bt:1", Some(&by_digest)).is_some());
    // An agent has found it under that name.
    assert_eq!(listed.refusal_of_queued("reg:5000/bt:1", Some(&id)), None);
    assert!(listed.refusal_of_queued("bt:1", Some(&id)).is_some());
    assert!(listed.refusal_of_queued("reg:5000/bt:1", Some(&format!("bt@sha256:{HEX}"))).is_some());
    assert_eq!(latest.refusal_of_queued("bt", Some(&id)), None);
}
