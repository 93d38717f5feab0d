//! Where the image of a sweep comes from, and that all of its jobs run the very same one.

mod missing;
mod pinned;
mod progress;
mod pushed;
mod words;

use bt_tests::{Cluster, wait_until};

/// A sweep of an image that is not the tests' usual one.
#[track_caller]
fn submit(cluster: &Cluster, image: &str, flags: &[&str], script: &str) -> String {
    let mut args = vec!["submit", "--image", image, "--cpus", "0.25", "-m", "64m"];
    args.extend(flags);
    args.extend(["--", "sh", "-c", script]);
    cluster.json(&args)["id"].as_str().unwrap().to_owned()
}

/// Waits until so many jobs of a sweep say that its image is being pulled.
#[track_caller]
fn wait_pulling(cluster: &Cluster, sweep: &str, jobs: usize) {
    wait_until(&format!("{jobs} jobs wait for the image"), || {
        let told = cluster.ok(&["show", sweep]);
        (told.matches("pulling the image").count() == jobs).then_some(())
    });
}

/// Waits until all jobs of a sweep have succeeded.
#[track_caller]
fn succeeds(cluster: &Cluster, sweep: &str) {
    cluster.wait_ended(sweep);
    let counts = &cluster.json(&["show", sweep])["counts"];
    let all_well = counts["failed"] == 0 && counts["cancelled"] == 0;
    assert!(all_well, "{}", cluster.ok(&["show", sweep]));
}

/// Waits until a sweep is finished, and returns why its first job failed, which must be its image.
#[track_caller]
fn image_fault(cluster: &Cluster, sweep: &str) -> String {
    cluster.wait_ended(sweep);
    let jobs = cluster.json(&["jobs", sweep]);
    let Some(reason) = jobs[0]["reason"].as_str() else { panic!("job 0 did not fail: {jobs}") };
    assert!(reason.starts_with("image("), "{reason}");
    reason.to_owned()
}

#[track_caller]
fn pin(cluster: &Cluster, sweep: &str) -> String {
    cluster.json(&["show", sweep])["image_pin"].as_str().unwrap_or_default().to_owned()
}

/// What all the jobs wrote to `/results/out`.
#[track_caller]
fn outs(cluster: &Cluster, sweep: &str) -> Vec<String> {
    cluster.ok(&["results", "get", sweep, "-d", sweep]);
    let jobs = cluster.json(&["jobs", sweep]);
    let read = |job: usize| {
        let path = cluster.dir().join(sweep).join(job.to_string()).join("out");
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    (0..jobs.as_array().unwrap().len()).map(|job| read(job).trim().to_owned()).collect()
}
