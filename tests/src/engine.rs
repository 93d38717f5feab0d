//! The container engine as tests use it: the `docker` command, and images of a test's own.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::process::{Command, Output};

use tempfile::TempDir;
use uuid::Uuid;

use crate::wait_until;

fn run(args: &[&str]) -> Output {
    // The newer builder is a part that not every machine has.
    let output = Command::new("docker").args(args).env("DOCKER_BUILDKIT", "0").output();
    output.expect("docker can't be run; `make test` sets it up")
}

/// Runs `docker` with these arguments, which must succeed, and returns what it printed.
#[track_caller]
pub fn docker(args: &[&str]) -> String {
    let output = run(args);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {args:?}: {told}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// True if `docker` succeeds with these arguments.
pub fn docker_finds(args: &[&str]) -> bool {
    run(args).status.success()
}

/// Images of a test's own. They bear a mark that stays with them through every registry; what bears it is gone from the
/// engine when this is dropped.
#[derive(Debug)]
pub struct Images {
    mark: String,
    dir: TempDir,
}

impl Images {
    #[expect(clippy::new_without_default, reason = "every one is another")]
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        Self { mark: Uuid::new_v4().simple().to_string(), dir }
    }

    /// A name that only this test gives.
    pub fn name(&self, name: &str) -> String {
        format!("btctl-test-{}/{name}", self.mark)
    }

    /// Makes an image of `btctl-test:1` and these lines of a Dockerfile, and returns its id.
    #[track_caller]
    pub fn build(&self, name: &str, lines: &str) -> String {
        self.build_with(name, lines, 0)
    }

    /// Makes an image with a layer of so many bytes that no other image has, and returns its id.
    #[track_caller]
    pub fn build_large(&self, name: &str, bytes: u64) -> String {
        self.build_with(name, "COPY noise /", bytes)
    }

    fn build_with(&self, name: &str, lines: &str, bytes: u64) -> String {
        let context = self.dir.path();
        let file = format!("FROM btctl-test:1\nLABEL btctl.test={}\n{lines}\n", self.mark);
        fs::write(context.join("Dockerfile"), file).expect("write a Dockerfile");
        let mut noise = Vec::new();
        let random = fs::File::open("/dev/urandom").expect("the kernel has noise");
        random.take(bytes).read_to_end(&mut noise).expect("the kernel makes noise");
        fs::write(context.join("noise"), noise).expect("write a file of a layer");
        docker(&["build", "-q", "--network", "none", "-t", name, &context.display().to_string()]);
        docker(&["image", "inspect", "-f", "{{.Id}}", name])
    }

    /// Makes an image that says that it is made for another kind of machine, and returns its id.
    #[track_caller]
    pub fn build_for(&self, name: &str, architecture: &str) -> String {
        let script = r#"
            set -e
            mkdir "$1" && docker save "$2" | tar -x -C "$1"
            sed -i "s/\"architecture\":\"[^\"]*\"/\"architecture\":\"$3\"/" "$1"/*.json
            tar -c -C "$1" . | docker load -q"#;
        let before = self.build(name, "");
        let unpacked = self.dir.path().join(architecture).display().to_string();
        let made = Command::new("sh").args(["-c", script, "-", &unpacked, name, architecture]).output();
        let made = made.expect("run a shell");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let id = docker(&["image", "inspect", "-f", "{{.Id}}", name]);
        assert_ne!(id, before, "it is the same image still");
        id
    }

    /// True if the engine has an image, by its id or its name.
    pub fn has(&self, image: &str) -> bool {
        run(&["image", "inspect", image]).status.success()
    }

    /// Removes an image with all its names, as soon as no container needs it any more.
    #[track_caller]
    pub fn remove(&self, image: &str) {
        let id = docker(&["image", "inspect", "-f", "{{.Id}}", image]);
        wait_until(&format!("{image} is gone from the engine"), || {
            run(&["rmi", "-f", &id]);
            (!self.has(&id)).then_some(())
        });
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        let marked = format!("label=btctl.test={}", self.mark);
        let listed = run(&["images", "-aq", "--no-trunc", "--filter", &marked]);
        let ids: BTreeSet<_> = String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect();
        for id in ids {
            // An image goes with the last one that is made of it.
            if self.has(&id) {
                let removed = run(&["rmi", "-f", &id]);
                if !removed.status.success() && self.has(&id) {
                    eprintln!("image {id} is left: {}", String::from_utf8_lossy(&removed.stderr));
                }
            }
        }
    }
}
