//! One sweep, one image: it is pulled once, and pinned, whatever becomes of its tag.

use bt_tests::{Cluster, GATE, Images, Options, Registry, WAIT_AT_GATE, docker};

use super::{outs, pin, submit, succeeds, wait_pulling};

#[test]
fn an_image_is_pulled_once_however_many_jobs_wait_for_it() {
    let (images, registry) = (Images::new(), Registry::far_away());
    let cluster = Cluster::start();
    let name = registry.name("wanted:1");
    let id = images.build_large(&name, 1 << 20);
    let digest = registry.push(&name);
    images.remove(&name);
    // The layer does not come before all that fit on the agent wait for it.
    registry.stall_after(256 << 10);
    let sweep = submit(&cluster, &name, &["--matrix", "n=1:12"], "true");
    wait_pulling(&cluster, &sweep, 8);
    registry.mend();
    succeeds(&cluster, &sweep);

    assert_eq!(registry.pulls("wanted"), 1);
    assert_eq!(pin(&cluster, &sweep), digest);
    let told = cluster.ok(&["show", &sweep]);
    assert!(told.contains(&format!("{name} (pinned to {digest})")), "{told}");
    let sql = "select count(*), count(distinct image_id), min(image_id) from attempts";
    assert_eq!(cluster.database.query(sql), [format!("12|1|{id}")]);

    // Those that want it anew ask once, too.
    let before = registry.questions("wanted");
    registry.stall_after(0);
    let anew = submit(&cluster, &name, &["--pull", "always", "--matrix", "n=1:8"], "true");
    wait_pulling(&cluster, &anew, 8);
    registry.mend();
    succeeds(&cluster, &anew);
    assert_eq!(registry.questions("wanted"), before + 1);
}

#[test]
fn a_tag_that_moves_moves_no_sweep_that_has_begun() {
    let (images, registry) = (Images::new(), Registry::start());
    let cluster = Cluster::start();
    let name = registry.name("moving:1");
    let old = images.build(&name, "ENV BYTES=old");
    let old_digest = registry.push(&name);
    let script = "echo $BYTES > /results/out";
    let wait = format!("{}; {script}", WAIT_AT_GATE);
    let flags = [&GATE[..], &["--max-parallel", "1", "--matrix", "n=1:3"]].concat();
    let begun = submit(&cluster, &name, &flags, &wait);
    cluster.wait_attempts("running", 1);

    // Another machine pushes other bytes; this one has the old ones under the tag still.
    let new = images.build(&name, "ENV BYTES=new");
    let new_digest = registry.push(&name);
    images.remove(&new);
    docker(&["tag", &old, &name]);
    let missing = submit(&cluster, &name, &[], script);
    succeeds(&cluster, &missing);
    assert_eq!(outs(&cluster, &missing), ["old"], "it is not missing here");
    let always = submit(&cluster, &name, &["--pull", "always"], script);
    succeeds(&cluster, &always);
    assert_eq!(outs(&cluster, &always), ["new"]);

    cluster.open_gate();
    succeeds(&cluster, &begun);
    assert_eq!(outs(&cluster, &begun), ["old", "old", "old"]);
    assert_eq!(
        [&begun, &missing, &always].map(|sweep| pin(&cluster, sweep)),
        [old_digest.clone(), old_digest, new_digest]
    );
    let sql = format!("select distinct image_id from attempts where sweep_id = '{begun}'");
    assert_eq!(cluster.database.query(&sql), [old]);
    let sql = format!("select distinct image_id from attempts where sweep_id = '{always}'");
    assert_eq!(cluster.database.query(&sql), [new]);
}

#[test]
fn what_a_sweep_is_pinned_to_is_pulled_by_its_digest_where_the_tag_has_moved() {
    let (images, registry) = (Images::new(), Registry::start());
    let cluster = Cluster::start();
    let name = registry.name("moved:1");
    let old = images.build(&name, "ENV BYTES=old");
    registry.push(&name);
    let flags = [&GATE[..], &["--max-parallel", "1", "--matrix", "n=1:2"]].concat();
    let script = format!("{}; echo $BYTES > /results/out", WAIT_AT_GATE);
    let sweep = submit(&cluster, &name, &flags, &script);
    cluster.wait_attempts("running", 1);
    cluster.ok(&["pause", &sweep]);
    cluster.open_gate();
    cluster.wait_attempts("succeeded", 1);

    images.remove(&old);
    images.build(&name, "ENV BYTES=new");
    registry.push(&name);
    cluster.ok(&["resume", &sweep]);
    succeeds(&cluster, &sweep);
    assert_eq!(outs(&cluster, &sweep), ["old", "old"]);
}

#[test]
fn a_sweep_of_a_digest_runs_just_that() {
    let (images, registry) = (Images::new(), Registry::start());
    let cluster = Cluster::start();
    let name = registry.name("fixed:1");
    images.build(&name, "ENV BYTES=old");
    let digest = registry.push(&name);
    images.remove(&name);
    images.build(&name, "ENV BYTES=new");
    registry.push(&name);
    let sweep = submit(&cluster, &digest, &[], "echo $BYTES > /results/out");
    succeeds(&cluster, &sweep);
    assert_eq!(outs(&cluster, &sweep), ["old"]);
    assert_eq!(pin(&cluster, &sweep), digest);
}

#[test]
fn an_image_that_is_here_needs_no_registry() {
    let (images, mut registry) = (Images::new(), Registry::start());
    let mut cluster = Cluster::without_agent(Options::default());
    let name = registry.name("kept:1");
    images.build(&name, "");
    let digest = registry.push(&name);
    images.remove(&name);
    cluster.add_agent("agent");
    let first = submit(&cluster, &name, &[], "true");
    succeeds(&cluster, &first);
    registry.stop();
    let by_name = submit(&cluster, &name, &["--matrix", "n=1:4"], "true");
    let by_digest = submit(&cluster, &digest, &[], "true");
    for sweep in [&by_name, &by_digest] {
        succeeds(&cluster, sweep);
        assert_eq!(pin(&cluster, sweep), digest);
    }
}
