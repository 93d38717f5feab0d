//! Images without a registry: a user hands one in, and agents load it from the coordinator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bt_tests::{Cluster, GATE, Images, Options, WAIT_AT_GATE, docker, wait_until};

use super::{pin, submit, succeeds};

#[test]
fn an_image_that_was_pushed_is_loaded_where_it_is_missing() {
    let images = Images::new();
    let cluster = Cluster::start();
    let name = images.name("mine:1");
    let id = images.build_large(&name, 1 << 20);
    assert_eq!(cluster.json(&["image", "ls"]), serde_json::json!([]));
    let said = cluster.run(&["image", "push", &name]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("it is pushed"), "{said:?}");
    let said = cluster.run(&["image", "push", &name]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains("was pushed before"), "{said:?}");
    let listed = cluster.json(&["image", "ls"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!((&listed[0]["name"], &listed[0]["id"]), (&name.clone().into(), &id.clone().into()));
    assert!(listed[0]["size"].as_u64().unwrap() > 1 << 20, "{listed}");
    assert!(listed[0]["pushed"].is_string() && listed[0]["pushed_by"].is_string(), "{listed}");

    images.remove(&name);
    let sweep = submit(&cluster, &name, &["--matrix", "n=1:8"], "true");
    succeeds(&cluster, &sweep);
    assert_eq!(pin(&cluster, &sweep), id);
    let sql = "select count(*), min(image_id), max(image_id) from attempts";
    assert_eq!(cluster.database.query(sql), [format!("8|{id}|{id}")]);

    assert!(!files(&cluster.store().join("images")).is_empty());
    let said = cluster.run(&["image", "rm", &name]);
    assert!(said.code == 0 && said.stderr.contains("removed"), "{said:?}");
    assert_eq!(cluster.json(&["image", "ls"]), serde_json::json!([]));
    assert_eq!(files(&cluster.store().join("images")), [] as [PathBuf; 0]);
    assert_eq!(cluster.run(&["image", "rm", &name]).code, 3);
    // It stays where it was loaded.
    let again = submit(&cluster, &name, &[], "true");
    succeeds(&cluster, &again);
}

#[test]
fn jobs_of_an_image_that_nobody_has_any_more_wait_until_it_is_pushed_again() {
    let images = Images::new();
    let cluster = Cluster::start();
    let (name, kept) = (images.name("lost:1"), images.name("kept:1"));
    let id = images.build(&name, "");
    let flags = [&GATE[..], &["--max-parallel", "1", "--matrix", "n=1:2"]].concat();
    let sweep = submit(&cluster, &name, &flags, WAIT_AT_GATE);
    cluster.wait_attempts("running", 1);
    assert_eq!(pin(&cluster, &sweep), id);
    cluster.ok(&["pause", &sweep]);
    cluster.open_gate();
    cluster.wait_attempts("succeeded", 1);
    let archive = cluster.dir().join("image.tar").display().to_string();
    docker(&["save", "-o", &archive, &name]);
    images.remove(&name);
    cluster.ok(&["resume", &sweep]);

    let told = wait_until("the agent has refused it", || {
        let told = cluster.ok(&["show", &sweep]);
        told.contains(&format!("does not have {name}")).then_some(told)
    });
    let explained = cluster.ok(&["explain", &format!("{sweep}/1")]);
    for told in [told, explained] {
        assert!(told.contains(&format!("does not have {name}")), "{told}");
        assert!(told.contains("btctl image push"), "{told}");
    }
    // Each time the agent is left alone for twice as long, 16 seconds by now.
    wait_until("it was tried some times", || {
        let sql = "select count(*) from attempts where job = 1";
        (cluster.database.query(sql) == ["4"]).then_some(())
    });
    wait_until("it is queued again", || (cluster.count(&sweep, "queued") == 1).then_some(()));
    assert_eq!(cluster.database.query("select sum(failures), sum(losses) from jobs"), ["0|0"]);

    docker(&["load", "-q", "-i", &archive]);
    docker(&["tag", &name, &kept]);
    cluster.ok(&["image", "push", &kept]);
    images.remove(&id);
    succeeds(&cluster, &sweep);
    assert_eq!(cluster.database.query("select sum(failures), sum(losses) from jobs"), ["0|0"]);
}

#[test]
fn a_name_without_a_tag_is_the_tag_latest() {
    let images = Images::new();
    let cluster = Cluster::start();
    let name = images.name("plain");
    let latest = format!("{name}:latest");
    for (pushed, removed) in [(&name, &latest), (&latest, &name)] {
        images.build(&latest, "");
        cluster.ok(&["image", "push", pushed]);
        for submitted in [&name, &latest] {
            images.remove(&latest);
            let sweep = submit(&cluster, submitted, &[], "true");
            succeeds(&cluster, &sweep);
        }
        cluster.ok(&["image", "rm", removed]);
    }
}

#[test]
fn what_is_not_on_this_machine_can_not_be_pushed() {
    let images = Images::new();
    let cluster = Cluster::without_agent(Options::default());
    let name = images.name("nothing:1");
    let said = cluster.run(&["image", "push", &name]);
    assert_ne!(said.code, 0, "{said:?}");
    assert!(said.stderr.contains(&name) && said.stderr.contains("docker images"), "{said:?}");
}

#[test]
fn an_image_with_two_names_is_kept_until_the_last_is_removed() {
    let images = Images::new();
    let cluster = Cluster::start();
    let (one, two) = (images.name("one:1"), images.name("two:1"));
    let id = images.build_large(&one, 1 << 20);
    docker(&["tag", &one, &two]);
    cluster.ok(&["image", "push", &one]);
    cluster.ok(&["image", "push", &two]);
    assert_eq!(cluster.json(&["image", "ls"]).as_array().unwrap().len(), 2);
    let archives = || files(&cluster.store().join("images")).len();
    let stored = archives();
    assert!(stored > 0);
    cluster.ok(&["image", "rm", &two]);
    assert_eq!(archives(), stored, "it still has the other name");
    images.remove(&one);
    let sweep = submit(&cluster, &one, &[], "true");
    succeeds(&cluster, &sweep);
    assert_eq!(pin(&cluster, &sweep), id);
    cluster.ok(&["image", "rm", &one]);
    assert_eq!(archives(), 0);
}

/// An archive can name what it likes: only the image that was asked for is loaded, and a name that another image bears here
/// stays with that one.
#[test]
fn an_archive_moves_no_name_of_this_machine() {
    let images = Images::new();
    let cluster = Cluster::start();
    let (mine, victim) = (images.name("mine:1"), images.name("victim:1"));
    let attackers = images.build_large(&mine, 1 << 20);
    docker(&["tag", &mine, &victim]);
    let tar = cluster.dir().join("image.tar");
    docker(&["save", "-o", tar.to_str().unwrap(), &mine, &victim]);
    images.remove(&mine);
    let victims = images.build_large(&victim, 1 << 10);

    let other = cluster.run(&["image", "push", "--file", tar.to_str().unwrap(), &mine]);
    assert_eq!(other.code, 0, "{other:?}");
    let sweep = submit(&cluster, &mine, &[], "true");
    succeeds(&cluster, &sweep);
    assert_eq!(pin(&cluster, &sweep), attackers);
    let id_of = |name: &str| docker(&["inspect", "-f", "{{.Id}}", name]).trim().to_owned();
    assert_eq!(id_of(&victim), victims, "the name stays where it was");
    assert_eq!(id_of(&mine), attackers, "a name that was free is given");
}

#[test]
fn an_archive_that_is_none_is_refused_before_anything_is_sent() {
    let cluster = Cluster::start();
    let tar = cluster.dir().join("image.tar");
    std::fs::write(&tar, "no archive").unwrap();
    let said = cluster.run(&["image", "push", "--file", tar.to_str().unwrap(), "x:1"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.stderr.contains("image.tar"), "{said:?}");
}

/// All files below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let found = Command::new("find").arg(dir).args(["-type", "f"]).output().unwrap();
    String::from_utf8(found.stdout).unwrap().lines().map(PathBuf::from).collect()
}

/// How often layers of images were stored that no image shares with another.
fn layers(cluster: &Cluster) -> usize {
    files(&cluster.store().join("images/layers")).len()
}

#[test]
fn only_layers_that_are_not_there_are_sent() {
    let images = Images::new();
    let cluster = Cluster::start();
    let (first, second) = (images.name("mine:1"), images.name("mine:2"));
    images.build_large(&first, 4 << 20);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("Dockerfile"), format!("FROM {first}\nCOPY small /small\n")).unwrap();
    fs::write(dir.path().join("small"), vec![7; 2_000]).unwrap();
    docker(&["build", "-q", "-t", &second, dir.path().to_str().unwrap()]);
    let id = docker(&["inspect", "-f", "{{.Id}}", &second]).trim().to_owned();
    assert_eq!(cluster.run(&["image", "push", &first]).code, 0);
    let stored = layers(&cluster);
    assert!(stored > 0);
    // Twice at once, from the engine and from a file.
    let tar = cluster.dir().join("second.tar");
    docker(&["save", "-o", tar.to_str().unwrap(), &second]);
    let mut other = cluster.spawn("push", &["image", "push", "--file", tar.to_str().unwrap(), &second]);
    let said = cluster.run(&["image", "push", &second]);
    assert_eq!((said.code, other.wait()), (0, 0), "{said:?} {}", other.log());
    assert!(format!("{}{}", said.stderr, other.log()).contains("of it new"), "{said:?} {}", other.log());
    assert_eq!(layers(&cluster), stored, "nothing of it is large and new");
    assert_eq!(cluster.json(&["image", "ls"]).as_array().unwrap().len(), 2);

    // What they share stays as long as one of them has it, and makes the other one whole.
    images.remove(&second);
    images.remove(&first);
    assert_eq!(cluster.run(&["image", "rm", &first]).code, 0);
    assert_eq!(layers(&cluster), stored);
    let sweep = submit(&cluster, &second, &[], "wc -c < /small");
    succeeds(&cluster, &sweep);
    assert_eq!(pin(&cluster, &sweep), id);
    assert_eq!(cluster.ok(&["logs", &format!("{sweep}/0")]).trim(), "2000");
    assert_eq!(cluster.run(&["image", "rm", &second]).code, 0);
    assert_eq!(files(&cluster.store().join("images")), [] as [PathBuf; 0]);
}

#[test]
fn a_push_that_breaks_off_goes_on_with_the_layers_that_did_not_come() {
    let images = Images::new();
    let cluster = Cluster::start();
    let name = images.name("mine:1");
    images.build_large(&name, 8 << 20);
    let tar = cluster.dir().join("image.tar");
    docker(&["save", "-o", tar.to_str().unwrap(), &name]);
    let size = fs::metadata(&tar).unwrap().len();
    let line = cluster.line();
    // The whole archive does not fit through what is let through each time, and comes all the same.
    line.let_through(size - (2 << 20));
    let push = ["--coordinator", &format!("http://{}", line.address()), "image", "push", "--file"];
    let mut client = cluster.spawn("push", &[&push[..], &[tar.to_str().unwrap(), &name]].concat());
    wait_until("the line broke", || line.is_cut().then_some(()));
    let came = layers(&cluster);
    line.let_through(size);
    assert_eq!(client.wait(), 0, "{}", client.log());
    assert!(layers(&cluster) > came || came > 0);
    let begun = files(&cluster.store().join("images")).len();
    assert_eq!(begun, layers(&cluster) + 1, "nothing half is left");
    images.remove(&name);
    let sweep = submit(&cluster, &name, &[], "true");
    succeeds(&cluster, &sweep);
}

#[test]
fn what_pushes_left_is_removed_after_a_day_and_nothing_else() {
    let images = Images::new();
    let coordinator = ["--gc-every", "300ms"].map(str::to_owned).into();
    let cluster = Cluster::with(Options { coordinator, ..Options::default() });
    let name = images.name("mine:1");
    images.build_large(&name, 1 << 20);
    cluster.ok(&["image", "push", &name]);
    let dir = cluster.store().join("images");
    let pushed = files(&dir);
    let (sha256, uuid) = ("0f".repeat(32), "ab".repeat(16));
    let left = [format!("{sha256}-{uuid}.tar"), format!("layers/{sha256}-{uuid}")].map(|name| dir.join(name));
    let others =
        ["notes.txt".to_owned(), format!("layers/{sha256}"), format!("{sha256}-{}.tar", "cd".repeat(16))];
    let others = others.map(|name| dir.join(name));
    for file in left.iter().chain(&others) {
        fs::write(file, "x").unwrap();
    }
    // All but the last is old.
    for file in pushed.iter().chain(&left).chain(&others[..2]) {
        assert!(Command::new("touch").args(["-d", "2 days ago"]).arg(file).status().unwrap().success());
    }
    wait_until("what was left is gone", || (!left.iter().any(|file| file.exists())).then_some(()));
    assert!(pushed.iter().chain(&others).all(|file| file.exists()), "{:?}", files(&dir));
    images.remove(&name);
    let sweep = submit(&cluster, &name, &[], "true");
    succeeds(&cluster, &sweep);
}
