//! Who may read and write what is published into a directory (`--umask`).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bt_tests::{Cluster, Options, wait_until};

/// The rights of all directories and of all files below one.
fn modes(dir: &Path) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let (mut dirs, mut files) = (BTreeSet::new(), BTreeSet::new());
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        dirs.insert(fs::metadata(&dir).unwrap().permissions().mode() & 0o777);
        for entry in fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => left.push(entry.path()),
                false => drop(files.insert(entry.metadata().unwrap().permissions().mode() & 0o777)),
            }
        }
    }
    (dirs, files)
}

#[test]
fn the_group_may_write_results_where_it_is_asked_for_and_others_never() {
    for (umask, way, dirs, files) in
        [("0007", "auto", 0o770, 0o660), ("0007", "relay", 0o770, 0o660), ("0027", "auto", 0o750, 0o640)]
    {
        let flags =
            |more: &[&str]| [&["--umask", umask], more].concat().into_iter().map(str::to_owned).collect();
        let options = Options {
            coordinator: flags(&[]),
            agent: flags(&["--cpus", "2", "--memory", "2GiB", "--store", way]),
            ..Options::default()
        };
        let cluster = Cluster::with(options);
        // Whatever the job itself made of them.
        let script = "mkdir /results/d; echo 1 > /results/d/x; echo 2 > /results/y; chmod 777 /results/y; chmod 700 /results/d";
        let sweep = cluster.submit(&[], script);
        cluster.wait_count(&sweep, "succeeded", 1);
        let dir = cluster.stored(&sweep, 0, 1);
        let dir = dir.parent().unwrap();
        wait_until("the document is there", || dir.join("result.json").exists().then_some(()));
        assert_eq!(modes(dir), (BTreeSet::from([dirs]), BTreeSet::from([files])), "{umask}, {way}");
    }
}

#[test]
fn a_umask_that_lets_everybody_write_is_refused() {
    let cluster = Cluster::without_agent(Options::default());
    for umask in ["0000", "0755", "rw"] {
        let refused = cluster.run(&["agent", "--umask", umask]);
        assert!(refused.code == 2 && refused.stderr.contains("--umask"), "{refused:?}");
    }
}
