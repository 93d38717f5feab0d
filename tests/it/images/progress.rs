//! Pulls: one ahead of all jobs, and one that takes its time.

use bt_tests::{Cluster, Images, Options, Registry, wait_until};

use super::{submit, succeeds};

#[test]
fn an_agent_gets_images_before_any_job_asks_for_them() {
    let (images, registry) = (Images::new(), Registry::start());
    let mut cluster = Cluster::without_agent(Options::default());
    let name = registry.name("soon:1");
    images.build(&name, "");
    registry.push(&name);
    images.remove(&name);
    let nothing = registry.name("nothing:1");
    let prefetch = [format!("--prefetch={nothing}"), format!("--prefetch={name}")];
    cluster.add_agent_with("agent", &[&Options::default().agent[..], &prefetch].concat());
    wait_until("the image is here", || images.has(&name).then_some(()));
    wait_until("it is told", || cluster.agent().log().contains(&format!("prefetched {name}")).then_some(()));
    let log = cluster.agent().log();
    assert!(log.contains(&format!("{nothing} is not prefetched")), "{log}");
    assert_eq!(cluster.database.query("select count(*) from attempts"), ["0"]);
    let sweep = submit(&cluster, &name, &[], "true");
    succeeds(&cluster, &sweep);
    assert_eq!(registry.pulls("soon"), 1);
}

#[test]
fn a_slow_pull_is_told_and_holds_up_no_other_sweep() {
    let (images, registry) = (Images::new(), Registry::far_away());
    let cluster = Cluster::start();
    let name = registry.name("large:1");
    images.build_large(&name, 30 << 20);
    registry.push(&name);
    images.remove(&name);
    registry.stall_after(0);
    let slow = submit(&cluster, &name, &["--matrix", "n=1:2"], "true");
    let note = format!("pulling the image {name}: ");
    let told = wait_until("the pull has come some way", || {
        registry.stall_after(256 << 10);
        let told = cluster.ok(&["show", &slow]);
        let lines = told.lines().filter(|line| line.contains(&note) && line.contains(" MiB of 30 MiB"));
        // The one that waits for the other to pull it tells the same.
        (lines.count() == 2).then_some(told)
    });
    assert!(told.contains("Job") && told.contains("on agent agent"), "{told}");
    let other = cluster.submit(&["--matrix", "n=1:4"], "true");
    succeeds(&cluster, &other);
    assert_eq!(cluster.count(&slow, "succeeded"), 0);
    registry.mend();
    succeeds(&cluster, &slow);
    assert_eq!(registry.pulls("large"), 1);
}
