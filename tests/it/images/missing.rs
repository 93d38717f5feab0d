//! Images that can't be had: the job says so, in the words of whoever refused it.

use std::os::unix::fs::PermissionsExt;

use bt_tests::{Cluster, Images, Options, Registry};
use serde_json::json;

use super::{image_fault, submit, succeeds, wait_pulling};

#[test]
fn an_image_that_a_live_registry_does_not_have_is_told() {
    let registry = Registry::start();
    let cluster = Cluster::start();
    let sweep = submit(&cluster, &registry.name("nothing:1"), &[], "true");
    let told = image_fault(&cluster, &sweep);
    assert!(told.contains("manifest unknown") && told.contains("nothing:1"), "{told}");
}

#[test]
fn an_image_that_is_not_there_is_asked_for_once_however_many_jobs_wait_for_it() {
    let registry = Registry::far_away();
    let cluster = Cluster::start();
    registry.stall_after(0);
    let sweep = submit(&cluster, &registry.name("nothing:1"), &["--matrix", "n=1:8"], "true");
    wait_pulling(&cluster, &sweep, 8);
    registry.mend();
    image_fault(&cluster, &sweep);
    assert_eq!(cluster.count(&sweep, "failed"), 8);
    assert_eq!(registry.questions("nothing"), 1);
}

#[test]
fn a_registry_that_is_down_is_told() {
    let (images, mut registry) = (Images::new(), Registry::start());
    let cluster = Cluster::start();
    let name = registry.name("gone:1");
    images.build(&name, "");
    registry.push(&name);
    registry.stop();
    let here = submit(&cluster, &name, &[], "true");
    succeeds(&cluster, &here);
    let anew = submit(&cluster, &name, &["--pull", "always"], "true");
    let told = image_fault(&cluster, &anew);
    assert!(told.contains("can't be pulled") && told.contains("connection refused"), "{told}");
}

#[test]
fn an_image_that_must_not_be_pulled_is_not() {
    let (images, registry) = (Images::new(), Registry::start());
    let cluster = Cluster::start();
    let name = registry.name("offline:1");
    images.build(&name, "");
    registry.push(&name);
    let here = submit(&cluster, &name, &["--pull", "never"], "true");
    succeeds(&cluster, &here);
    images.remove(&name);
    let away = submit(&cluster, &name, &["--pull", "never"], "true");
    let told = image_fault(&cluster, &away);
    assert!(told.contains(&name) && told.contains("not on this machine"), "{told}");
    assert!(told.contains("pull: never"), "{told}");
    assert_eq!(registry.pulls("offline"), 0);
}

#[test]
fn a_private_registry_gives_its_images_to_agents_that_log_in() {
    let (images, registry) = (Images::new(), Registry::private());
    let mut cluster = Cluster::without_agent(Options::default());
    let name = registry.name("private:1");
    images.build(&name, "");
    registry.push(&name);
    images.remove(&name);
    let write = |dir: &str, config: &serde_json::Value| {
        let dir = cluster.dir().join(dir);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
        dir.display().to_string()
    };
    // Docker asks the program `docker-credential-test` for the log-ins of this registry.
    let helper = write("helper", &json!({ "credHelpers": { registry.address(): "test" } }));
    let answer =
        json!({ "ServerURL": registry.address(), "Username": Registry::USER, "Secret": Registry::PASSWORD });
    let program = cluster.dir().join("helper/docker-credential-test");
    let script = format!("#!/bin/sh\n[ \"$1 $(cat)\" = 'get {}' ] && echo '{answer}'\n", registry.address());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{helper}:{}", std::env::var("PATH").unwrap());
    let wrong = write("wrong", &json!({ "auths": { registry.address(): { "auth": "dGVzdGVyOndyb25n" } } }));
    let login = registry.login().display().to_string();

    let broken = write("broken", &json!({ "credHelpers": { registry.address(): "gone" } }));

    let mut check = |agent: &str, env: &[(&str, &str)], refusal: Option<&[&str]>| {
        let flags = [&Options::default().agent[..], &["--label".to_owned(), format!("who={agent}")]].concat();
        cluster.add_agent_in(agent, &flags, env);
        let before = registry.answers("private");
        let sweep = submit(&cluster, &name, &["--agent-label", &format!("who={agent}")], "true");
        match refusal {
            Some(words) => {
                let told = image_fault(&cluster, &sweep);
                let says = words.iter().any(|words| told.contains(words));
                assert!(says && told.contains(&name), "{agent}: {told}");
                assert!(!images.has(&name), "{agent}");
                assert_eq!(registry.answers("private"), before, "{agent}");
            }
            None => {
                succeeds(&cluster, &sweep);
                assert!(registry.answers("private") > before, "{agent}");
                images.remove(&name);
            }
        }
    };
    // Docker says it in the first words, Podman in the others.
    let refused = ["no basic auth credentials", "authentication required"];
    check("stranger", &[], Some(&refused));
    check("liar", &[("DOCKER_CONFIG", &wrong)], Some(&["unauthorized"]));
    check("unlucky", &[("DOCKER_CONFIG", &broken)], Some(&refused));
    check("member", &[("DOCKER_CONFIG", &login)], None);
    check("helped", &[("DOCKER_CONFIG", &helper), ("PATH", &path)], None);
    let told = "the log-in for the image's registry can't be had";
    let tells = (0..5).map(|number| cluster.agent_number(number).log().contains(told));
    assert_eq!(tells.collect::<Vec<_>>(), [false, false, true, false, false]);
}

#[test]
fn an_image_for_another_kind_of_machine_is_told() {
    let (images, registry) = (Images::new(), Registry::start());
    let cluster = Cluster::start();
    let name = registry.name("mainframe:1");
    images.build_for(&name, "s390x");
    registry.push(&name);
    for place in ["here", "in the registry"] {
        let sweep = submit(&cluster, &name, &[], "true");
        let told = image_fault(&cluster, &sweep);
        assert!(told.contains("made for linux/s390x"), "{place}: {told}");
        assert!(told.contains("platform: linux/s390x"), "{place}: {told}");
        images.remove(&name);
    }
}

#[test]
fn an_entrypoint_that_is_not_in_the_image_is_told() {
    let images = Images::new();
    let cluster = Cluster::start();
    let name = images.name("hollow:1");
    images.build(&name, "ENTRYPOINT [\"/no/such/program\"]");
    let sweep = submit(&cluster, &name, &[], "true");
    let told = image_fault(&cluster, &sweep);
    assert!(told.contains("/no/such/program"), "{told}");
}
