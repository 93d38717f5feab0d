"""Runs the chart's pods as its objects say, by Docker in place of a kubelet: a coordinator, an agent that joins it, a sweep."""

import json
import os
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import chart

NAME = f"btctlpods{os.getpid()}"
FS_GROUP = 65532


def run(*args, ok=True):
    ran = subprocess.run(args, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ok and ran.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, args))}: {ran.stdout}{ran.stderr}")
    return ran.stdout


def wait(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while True:
        why = condition()
        if why is None:
            return
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come about in {seconds} s: {why}")
        time.sleep(0.3)


def secret(dir, name, files, mode, group):
    """A secret as a kubelet mounts it: files of root, and of the pod's group, if it has one."""
    place = Path(dir) / name
    place.mkdir()
    for key, content in files.items():
        path = place / key
        path.write_text(content)
        os.chown(path, 0, group or 0)
        path.chmod(0o440 if group else mode)
    return place


def flags(pod, secrets, claims):
    """`docker run`'s flags for what a pod's only container asks of a kubelet."""
    container, rights = pod["containers"][0], pod["securityContext"]
    own = container["securityContext"]
    group = rights.get("fsGroup")
    out = ["--user", f"{rights['runAsUser']}:{rights['runAsGroup']}", "--read-only", "--security-opt", "no-new-privileges"]
    out += ["--group-add", str(group)] if group else []
    for what in own["capabilities"]["drop"]:
        out += ["--cap-drop", what]
    for what in own["capabilities"].get("add", []):
        out += ["--cap-add", what]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    for volume in pod["volumes"]:
        mount = mounts[volume["name"]]
        at, mode = mount["mountPath"], ":ro" if mount.get("readOnly") else ""
        if "emptyDir" in volume:
            out += ["--tmpfs", f"{at}:mode=2777,gid={group or 0},exec"]
        elif "secret" in volume:
            out += ["-v", f"{secrets[volume['secret']['secretName']]}:{at}:ro"]
        elif "hostPath" in volume:
            out += ["-v", f"{volume['hostPath']['path']}:{at}{mode}"]
        else:
            out += ["-v", f"{claims[volume['persistentVolumeClaim']['claimName']]}:{at}{mode}"]
    values = {
        "secretKeyRef": lambda ref: (secrets[ref["name"]] / ref["key"]).read_text(),
        "fieldRef": lambda ref: {"spec.nodeName": "node7"}[ref["fieldPath"]],
    }
    for given in container["env"]:
        value = given.get("value")
        for kind, ref in given.get("valueFrom", {}).items():
            value = values[kind](ref)
        out += ["-e", f"{given['name']}={value}"]
    return [*out, container["image"], *container["args"]]


def answers(port, path):
    context = ssl._create_unverified_context()
    try:
        with urllib.request.urlopen(f"https://localhost:{port}{path}", context=context, timeout=5) as answer:
            return None if answer.status == 200 else str(answer.status)
    except (OSError, urllib.error.HTTPError) as error:
        return str(error)


def sweep(dir, btctl):
    store, state, prices = dir / "store", dir / "agent", dir / "prices"
    for made in (store, state, prices):
        made.mkdir()
    os.chown(store, 0, FS_GROUP)
    store.chmod(0o2775)
    (prices / "goog.csv").write_text("close\n1\n")
    names = ["--name", "bt-coordinator.backtests.svc", "--name", "localhost"]
    made = json.loads(run(btctl, "coordinator", "init", "--tls-dir", dir / "tls", *names, "-o", "json"))
    pin = made["pin"]
    tls = {path.name: path.read_text() for path in (dir / "tls").iterdir() if path.is_file()}
    values = json.dumps(
        {
            "coordinator": {"store": "/srv/results", "storeClaim": "results"},
            "agents": {
                "enabled": True,
                "caPin": pin,
                "stateDir": str(state),
                "cpus": 1.5,
                "memory": "512Mi",
                "volumes": [{"name": "prices", "path": str(prices), "readOnly": True}],
                "labels": {"pool": "kubernetes"},
            },
        }
    )
    pods = {
        what["metadata"]["labels"]["app.kubernetes.io/component"]: what["spec"]["template"]["spec"]
        for what in chart.render(values)
        if what["kind"] in ("Deployment", "DaemonSet")
    }
    run("docker", "network", "create", NAME)
    login = ["-e", "POSTGRES_USER=btctl", "-e", "POSTGRES_PASSWORD=secret", "-e", "POSTGRES_DB=btctl", "-e", "PGDATA=/var/lib/postgresql/data/pgdata"]
    login += ["-v", "/var/lib/postgresql/data"]
    run("docker", "run", "-d", "--name", f"{NAME}-db", "--network", NAME, *login, "btctl-test-postgres:1")
    url = f"postgres://btctl:secret@{NAME}-db:5432/btctl"
    secrets = {
        "btctl-tls": secret(dir, "secret-tls", tls, 0o440, FS_GROUP),
        "btctl-database": secret(dir, "secret-database", {"url": url}, 0o400, None),
    }
    there = ["--network", NAME, "--network-alias", "bt-coordinator.backtests.svc", "-p", "127.0.0.1::7600"]
    given = flags(pods["coordinator"], secrets, {"results": store})
    run("docker", "run", "-d", "--name", f"{NAME}-coordinator", *there, *given)
    port = run("docker", "port", f"{NAME}-coordinator", "7600").strip().rsplit(":", 1)[1]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = pods["coordinator"]["containers"][0][probe]["httpGet"]["path"]
        wait(f"{probe} of the coordinator", lambda path=path: answers(port, path))
    # As NOTES.txt says.
    inside = ["docker", "exec", f"{NAME}-coordinator", "/usr/bin/btctl", "--coordinator", "https://localhost:7600"]
    inside += ["--token-file", "/run/btctl/admin.token", "--ca-pin", pin]
    secrets["btctl-agent"] = secret(
        dir, "secret-agent", {"token": run(*inside, "token", "create", "pool", "--role", "agent")}, 0o400, None
    )
    run("docker", "run", "-d", "--name", f"{NAME}-agent", "--network", NAME, *flags(pods["agent"], secrets, {}))

    def joined():
        agents = json.loads(run(*inside, "agents", "ls", "-o", "json"))
        return None if any(agent["name"] == "node7" and agent["state"] == "ready" for agent in agents) else str(agents)

    wait("the agent", joined)
    command = ["sh", "-c", "cat /data/goog.csv >/results/copy.csv && echo '{\"sharpe\": {{ n }}}' >/results/metrics.json"]
    submit = ["submit", "--image", "btctl-test:1", "--name", "pods", "-v", "prices:/data:ro", "-m", "64m"]
    run(*inside, *submit, "--agent-label", "pool=kubernetes", "--matrix", "n=1,2,3", "--wait", "--", *command)
    jobs = json.loads(run(*inside, "top", "pods", "--by", "sharpe", "-o", "json"))
    assert len(jobs) == 3, jobs
    found = sorted(path.read_text() for path in store.rglob("copy.csv"))
    assert found == ["close\n1\n"] * 3, found
    # A pod that is told to go has this long.
    begun = time.monotonic()
    run("docker", "stop", "-t", str(pods["agent"]["terminationGracePeriodSeconds"]), f"{NAME}-agent")
    code = run("docker", "inspect", "-f", "{{.State.ExitCode}}", f"{NAME}-agent").strip()
    assert code == "0", code
    return f"a coordinator, an agent and 3 jobs ran as the objects say; the agent left in {time.monotonic() - begun:.1f} s"


def check():
    btctl = Path(os.environ.get("BTCTL_BINARY", chart.ROOT / "target/debug/btctl"))
    assert os.getuid() == 0, "secrets belong to root here, as on a node; run it as root"
    dir = Path(tempfile.mkdtemp(prefix="btctl-pods-"))
    dir.chmod(0o755)
    try:
        return sweep(dir, btctl)
    except Exception:
        for name in ("db", "coordinator", "agent"):
            subprocess.run(["docker", "logs", "--tail", "20", f"{NAME}-{name}"], check=False)
        raise
    finally:
        for name in ("agent", "coordinator", "db"):
            run("docker", "rm", "-f", "-v", f"{NAME}-{name}", ok=False)
        run("docker", "network", "rm", NAME, ok=False)
        shutil.rmtree(dir)
