//! What containers mount, and what they may write to.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_is_not_there_is_not_made() {
    let docker = docker().await;
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let mut spec = sh("true");
    spec.binds.push(bind(&missing, "/data", true));
    let error = run(&docker, &spec).await.0.unwrap_err();
    assert!(matches!(error, Error::Volume { .. }), "{error:?}");
    assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
    assert!(!missing.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_with_a_comma_is_nothing_but_a_path() {
    let docker = docker().await;
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("a,b");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("prices"), "1,2").unwrap();
    let mut spec = sh("cat '/data,src=/etc/prices'; test -e /data && exit 3; exit 0");
    spec.user = None;
    spec.binds.push(bind(&source, "/data,src=/etc", true));
    let (exit, lines) = run(&docker, &spec).await;
    assert_eq!((reason(exit), text(&lines, Source::Stdout).as_str()), (None, "1,2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_image_has_is_not_copied_into_a_volume() {
    let docker = docker().await;
    let volume = format!("btctl-test-{}", AttemptId::random());
    let options = VolumeCreateRequest { name: Some(volume.clone()), ..Default::default() };
    docker.client.create_volume(options).await.unwrap();
    let mut told = Vec::new();
    for (target, read_only) in [("/bin", false), ("/data", true)] {
        let mut spec =
            sh("for file in /data/*; do echo $file; done; echo x 2>/dev/null >/data/x || echo read-only");
        spec.user = None;
        spec.binds.push(Bind { source: Place::Engine(volume.clone()), target: target.to_owned(), read_only });
        told.push(run(&docker, &spec).await);
    }
    docker.client.remove_volume(&volume, None::<RemoveVolumeOptions>).await.unwrap();
    let [(hidden, _), (exit, lines)] = &told[..] else { panic!("{told:?}") };
    assert!(matches!(hidden, Err(Error::NoSuchCommand { .. })), "{told:?}");
    assert!(exit.is_ok(), "{exit:?}");
    assert_eq!(text(lines, Source::Stdout), "/data/*\nread-only\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_writes_its_results_and_nothing_else() {
    let docker = docker().await;
    let dir = tempfile::tempdir().unwrap();
    let results: PathBuf = dir.path().join("results");
    crate::collect::make_results_dir(&results, Some((1234, 1234))).unwrap();
    fs::write(dir.path().join("prices"), "1,2").unwrap();
    let mut spec = sh("id -u; cat /data/prices >/results/copy; echo t >/tmp/t
        for place in / /bin /data /etc /proc/sys/kernel/hostname; do echo x 2>/dev/null >$place/x && echo wrote $place; done
        test -e /sys/class/net/eth0 && echo network; busybox grep -E '^(CapEff|NoNewPrivs):' /proc/self/status; exit 0");
    spec.binds = vec![bind(&results, "/results", false), bind(dir.path(), "/data", true)];
    let (exit, lines) = run(&docker, &spec).await;
    assert_eq!(reason(exit), None);
    let printed = text(&lines, Source::Stdout);
    assert_eq!(
        printed,
        "1234\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n",
        "{}",
        text(&lines, Source::Stderr)
    );
    assert_eq!(fs::read_to_string(results.join("copy")).unwrap(), "1,2");
    assert_eq!(fs::metadata(results.join("copy")).unwrap().uid(), 1234);
}
