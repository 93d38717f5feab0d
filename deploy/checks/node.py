"""Runs the playbook in a Debian with systemd: a first run that joins, a second that changes nothing, a changed offer, a new
program, wrong values. The engine is this machine's."""

import json
import os
import re
import shutil
import socket
import subprocess
import sysconfig
import tempfile
from pathlib import Path

import chart
from pods import run, wait

NAME = f"btctlnode{os.getpid()}"


class Node:
    """The server, as Ansible on it sees it."""

    def __init__(self, dir, given):
        self.dir, self.given = dir, given
        shared = [dir / "agent", dir / "prices"]
        mounts = [f"{path}:{path}" for path in shared] + ["/run/docker.sock:/run/docker.sock", "/dev/shm:/dev/shm"]
        mounts += [f"{sysconfig.get_path('purelib')}:/ansible:ro", f"{chart.ROOT}/deploy:/deploy:ro", f"{dir}/play:/play:ro"]
        mounts += ["/sys/fs/cgroup:/sys/fs/cgroup"]
        free = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"]
        flags = [flag for mount in mounts for flag in ("-v", mount)] + ["--tmpfs", "/run", "--tmpfs", "/run/lock"]
        run("docker", "run", "-d", "--name", NAME, "--network", "host", "--cgroupns", "host", "-e", "container=docker",
            *free, *flags, "btctl-test-node:1", "/lib/systemd/systemd")
        wait("systemd", lambda: None if "running" in run("docker", "exec", NAME, "systemctl", "is-system-running", ok=False)
             else "it does not run yet")

    def play(self, **more):
        """What one run of the playbook says: its text, and how much it changed and failed."""
        hosts = {"btctl_agents": {"hosts": {"node7": {**self.given, **more, "ansible_connection": "local"}}}}
        (self.dir / "play/inventory.json").write_text(json.dumps(hosts))
        command = ["docker", "exec", "-e", "PYTHONPATH=/ansible", "-e", "LC_ALL=C.UTF-8", NAME, "python3", "-m", "ansible"]
        command += ["playbook", "-i", "/play/inventory.json", "/deploy/ansible/site.yml"]
        said = run(*command, "-e", "ansible_python_interpreter=/usr/bin/python3", ok=False)
        found = re.search(r"changed=(\d+) .*failed=(\d+)", said)
        assert found, said
        return said, int(found[1]), int(found[2])


def joins(dir, btctl, env):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(*args):
        ran = subprocess.run([btctl, *args], env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        assert ran.returncode == 0, f"{args}: {ran.stdout}{ran.stderr}"
        return ran.stdout, ran.stderr

    out = "".join(call("up", "--detach", "--state-dir", str(dir / "up"), "--listen", f"0.0.0.0:{port}"))
    env["BTCTL_CONFIG"] = str(dir / "up/client.toml")
    shutil.copy(btctl, dir / "play/btctl")
    given = {
        "btctl_agent_join": f"localhost:{port}",
        "btctl_agent_ca_pin": re.search(r"sha256:[0-9a-f]{64}", out)[0],
        "btctl_agent_token": call("token", "create", "idle", "--role", "agent")[0],
        "btctl_agent_binary": "/play/btctl",
        "btctl_agent_install_engine": False,
        "btctl_agent_state_dir": str(dir / "agent"),
        "btctl_agent_volumes": {"prices": f"{dir}/prices:ro"},
        "btctl_agent_labels": {"pool": "idle"},
        "btctl_agent_settings": {"BTCTL_AGENT_NAME": "node7", "BTCTL_AGENT_CPUS": 1, "BTCTL_AGENT_MEMORY": "512MiB"},
    }
    node = Node(dir, given)
    wrong = [{"btctl_agent_ca_pin": "sha256:12"}, {"btctl_agent_package": "/x.deb"}, {"btctl_agent_volumes": {"a": "srv"}}]
    wrong += [{"btctl_agent_join": f"https://localhost:{port}"}, {"btctl_agent_labels": {"a b": "c"}}]
    wrong += [{"btctl_agent_volumes": "x"}, {"btctl_agent_token": "none"}]
    for values in wrong:
        said, changed, failed = node.play(**values)
        assert (changed, failed) == (0, 1), f"{values}: {said}"
    said, changed, failed = node.play()
    assert failed == 0 and changed > 5, said
    agents = json.loads(call("agents", "ls", "-o", "json")[0])
    assert any(agent["name"] == "node7" and agent["labels"]["pool"] == "idle" for agent in agents), agents
    said, changed, failed = node.play()
    assert (changed, failed) == (0, 0), said
    call("submit", "--image", "btctl-test:1", "--name", "idle", "--agent-label", "pool=idle", "-v", "prices:/data:ro",
         "-m", "64m", "--wait", "--", "cat", "/data/goog.csv")
    said, changed, failed = node.play(btctl_agent_labels={"pool": "nas"})
    assert failed == 0 and "Restart the agent" in said, said
    # Another program, with the same abilities.
    with (dir / "play/btctl").open("ab") as file:
        file.write(b"\n")
    said, changed, failed = node.play(btctl_agent_labels={"pool": "nas"})
    assert failed == 0 and "go on as the new program" in said and "Restart the agent" not in said, said
    assert run("docker", "exec", NAME, "systemctl", "is-active", "btctl-agent").strip() == "active"
    return f"a server joined, a second run changed nothing, and {len(wrong)} wrong values were refused"


def check():
    btctl = str(Path(os.environ.get("BTCTL_BINARY", chart.ROOT / "target/debug/btctl")).resolve())
    dir = Path(tempfile.mkdtemp(prefix="btctl-node-"))
    dir.chmod(0o755)
    for name in ("agent", "prices", "play"):
        (dir / name).mkdir()
    (dir / "prices/goog.csv").write_text("close\n1\n")
    env = {key: value for key, value in os.environ.items() if not key.startswith("BTCTL_")}
    try:
        return joins(dir, btctl, env)
    except Exception:
        subprocess.run(["docker", "exec", NAME, "journalctl", "-u", "btctl-agent", "-n", "20", "--no-pager"], check=False)
        raise
    finally:
        run("docker", "rm", "-f", "-v", NAME, ok=False)
        subprocess.run([btctl, "down", "--now", "--state-dir", dir / "up"], env=env, capture_output=True, check=False)
        shutil.rmtree(dir, ignore_errors=True)
