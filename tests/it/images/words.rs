//! What users read about an image: before they push it, and before its jobs run.

use bt_tests::{Cluster, Images, Options};

#[test]
fn an_image_is_described_before_it_is_pushed() {
    let images = Images::new();
    let cluster = Cluster::without_agent(Options::default());
    let usual = cluster.json(&["image", "inspect", "btctl-test:1"]);
    for fact in ["id", "layers", "platform", "entrypoint", "cmd", "user", "working_dir", "digests"] {
        assert!(usual[fact].is_string(), "{fact}: {usual}");
    }
    assert!(usual["size_bytes"].is_u64(), "{usual}");
    assert_eq!(usual["layers"], "2");
    assert_eq!(usual["user"], "");
    let warnings = usual["warnings"].to_string();
    assert!(warnings.contains("root") && warnings.contains("btctl image push"), "{usual}");

    let name = images.name("careful:1");
    let id = images.build(&name, "USER 1000:1000\nWORKDIR /tmp\nENTRYPOINT [\"sh\", \"-c\"]\nCMD [\"true\"]");
    let careful = cluster.json(&["image", "inspect", &name]);
    assert_eq!(careful["id"], id.as_str());
    assert_eq!(careful["entrypoint"], "sh -c");
    assert_eq!(careful["cmd"], "true");
    assert_eq!(careful["user"], "1000:1000");
    assert_eq!(careful["working_dir"], "/tmp");
    assert!(!careful["warnings"].to_string().contains("root"), "{careful}");
    let missing = cluster.run(&["image", "inspect", &images.name("nothing:1")]);
    assert_ne!(missing.code, 0);
    assert!(missing.stderr.contains("nothing:1"), "{missing:?}");
}

#[test]
fn a_tag_that_names_no_version_is_warned_of() {
    let cluster = Cluster::without_agent(Options::default());
    let digest = format!("reg:5000/x@sha256:{:064}", 0);
    for (image, warns) in [
        ("x", true),
        ("x:latest", true),
        ("reg:5000/x", true),
        ("x:1", false),
        ("reg:5000/x:1", false),
        (&digest, false),
    ] {
        let said = cluster.run(&["submit", "--image", image, "--", "true"]);
        assert_eq!(said.code, 0, "{said:?}");
        assert_eq!(said.stderr.contains("warning: "), warns, "{image}: {said:?}");
        assert!(!warns || said.stderr.contains(&format!("{image} names no version")), "{said:?}");
    }
}
