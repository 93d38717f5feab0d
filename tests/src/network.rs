//! Machines on a network of their own: a hub, where coordinators run, and nodes, each with a line to the hub that can be cut. They
//! are network namespaces, so that nothing that they say leaves the machine.

use std::path::Path;
use std::process::Command;

use crate::process::isolate;
use crate::root::{as_root, run_as_root, sudo};
use crate::{Finished, Process, btctl_path};

const REMEDY: &str = "this test makes network namespaces: install iproute2, and run it as root, or as a user with `sudo` without a \
                      password; in a container, allow it (--cap-add NET_ADMIN --cap-add SYS_ADMIN)";

/// The network. It is gone, with all that runs on it, when it is dropped.
#[derive(Debug)]
pub struct Network {
    /// Tells the names of namespaces and lines from those of other tests.
    tag: u32,
    nodes: usize,
}

impl Network {
    /// A hub and so many nodes.
    ///
    /// # Panics
    /// If this user may not make namespaces; the message says what to allow.
    pub fn new(nodes: usize) -> Self {
        let network = Self { tag: std::process::id() % 100_000, nodes };
        as_root(&["ip", "netns", "add", &network.hub()], REMEDY);
        network.ip(&network.hub(), &["link", "set", "lo", "up"]);
        for number in 0..nodes {
            let (node, here, there) =
                (network.node(number), network.line(number, 'h'), network.line(number, 'n'));
            as_root(&["ip", "netns", "add", &node], REMEDY);
            as_root(&["ip", "link", "add", &here, "type", "veth", "peer", "name", &there], REMEDY);
            for (end, namespace, last) in [(&here, network.hub(), 1), (&there, node.clone(), 2)] {
                as_root(&["ip", "link", "set", end, "netns", &namespace], REMEDY);
                network.ip(&namespace, &["addr", "add", &format!("10.77.{number}.{last}/30"), "dev", end]);
                network.ip(&namespace, &["link", "set", end, "up"]);
            }
            network.ip(&node, &["link", "set", "lo", "up"]);
        }
        network
    }

    fn hub(&self) -> String {
        format!("bt{}hub", self.tag)
    }

    fn node(&self, number: usize) -> String {
        format!("bt{}n{number}", self.tag)
    }

    fn line(&self, number: usize, end: char) -> String {
        format!("bt{}{end}{number}", self.tag)
    }

    fn ip(&self, namespace: &str, words: &[&str]) {
        as_root(&[&["ip", "-n", namespace], words].concat(), REMEDY);
    }

    /// The address by which a node reaches the hub.
    pub fn hub_address(&self, number: usize) -> String {
        format!("10.77.{number}.1")
    }

    /// Cuts a node's line: what is sent is lost, and nobody is told.
    pub fn cut(&self, number: usize) {
        self.ip(&self.node(number), &["link", "set", &self.line(number, 'n'), "down"]);
    }

    /// Mends it.
    pub fn mend(&self, number: usize) {
        self.ip(&self.node(number), &["link", "set", &self.line(number, 'n'), "up"]);
    }

    /// `btctl` with these arguments on the hub, or on a node, with settings and state of its own in this directory.
    fn command(&self, node: Option<usize>, home: &Path, args: &[&str], env: &[(&str, &str)]) -> Command {
        let namespace = node.map_or(self.hub(), |number| self.node(number));
        let ids = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let (user, group) = (format!("--reuid={}", ids.0), format!("--regid={}", ids.1));
        let program = btctl_path().display().to_string();
        // `sudo` lets no variables through: they are given anew behind it.
        let mut isolated = Command::new("env");
        isolate(&mut isolated, home);
        isolated.envs(env.iter().copied());
        let mut variables = Vec::new();
        for (name, value) in isolated.get_envs() {
            let name = name.to_string_lossy();
            match value {
                Some(value) => variables.push(format!("{name}={}", value.to_string_lossy())),
                None => variables.splice(0..0, ["-u".to_owned(), name.into_owned()]).for_each(drop),
            }
        }
        let variables: Vec<_> = variables.iter().map(String::as_str).collect();
        let inside = ["ip", "netns", "exec", &namespace, "setpriv", &user, &group, "--keep-groups", "env"];
        let words = [sudo(), &inside, &variables, &[&program], args].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(home);
        command
    }

    /// Starts a server.
    pub fn start(
        &self,
        name: &str,
        node: Option<usize>,
        home: &Path,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Process {
        Process::start(name, home, &mut self.command(node, home, args, env))
    }

    /// Runs a client on the hub to its end.
    pub fn run(&self, home: &Path, args: &[&str], env: &[(&str, &str)]) -> Finished {
        Finished::of(&mut self.command(None, home, args, env))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let namespaces = (0..self.nodes).map(|number| self.node(number)).chain([self.hub()]);
        for namespace in namespaces {
            let pids = run_as_root(&["ip", "netns", "pids", &namespace]).unwrap_or_default();
            for pid in pids.split_whitespace() {
                run_as_root(&["kill", "-KILL", pid]).ok();
            }
            if let Err(error) = run_as_root(&["ip", "netns", "delete", &namespace]) {
                eprintln!("the namespace {namespace} is left: {error}");
            }
        }
    }
}
