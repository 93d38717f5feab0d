"""docs/TUTORIAL.md and docs/how-to: the flags of each `btctl` line against its help; the tutorial and the guide to images run as
they stand, in a new directory, and what they say is printed is printed; the wrapper of LEAN, with a stand-in for LEAN."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import chart
import yaml

DOCS = chart.ROOT / "docs"
BASE = "python:3.11-slim"
LOCAL_BASE = "btctl-python:3.11"


def blocks(path):
    """(language, text) of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


@cache
def help_of(btctl, words):
    ran = subprocess.run([btctl, *words, "--help"], capture_output=True, text=True, check=False)
    return ran.stdout if ran.returncode == 0 else None


def flags(btctl, path):
    """Fails at a line of a page that calls btctl by a flag or a command which it has not."""
    looked = 0
    for language, text in blocks(path):
        if language != "sh":
            continue
        text = re.sub(r"cat >.*?^END$", "", text, flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
        for line in text.splitlines():
            for call in re.findall(r"(?:^|[\s(])btctl (?! *\S*=)([^|;&)#>]+)", line):
                words = call.split(" -- ")[0].split()
                # Flags may stand before the command, as those that all commands have.
                chain = []
                for word in words:
                    if re.fullmatch(r"[a-z]+(-[a-z]+)*", word) and help_of(btctl, (*chain, word)) is not None:
                        chain.append(word)
                    elif chain:
                        break
                known = help_of(btctl, tuple(chain))
                assert known and chain, f"{path.name}: there is no such command: {line}"
                for flag in re.findall(r"(?<!\S)(--[a-z-]+|-[a-zA-Z])(?=[\s=]|$)", " ".join(words)):
                    assert re.search(rf"(?<![\w-]){flag}(?![\w-])", known), f"{path.name}: btctl {' '.join(chain)} has no {flag}"
                looked += 1
    return looked


def manifests(btctl, dir):
    """Each manifest, or part of one, is taken by `submit --dry-run`; the values for the chart are rendered."""
    count, values = 0, {}
    for path in sorted((DOCS / "how-to").glob("*.md")):
        for language, text in blocks(path):
            given = yaml.safe_load(text) if language == "yaml" else {}
            if path.name == "kubernetes.md":
                values |= given
            elif given and "btctl_agents" not in given:
                (dir / "manifest.yaml").write_text(yaml.dump({"image": "my-backtest:1", **given}))
                command = [btctl, "submit", "-f", dir / "manifest.yaml", "--dry-run"]
                ran = subprocess.run(command, capture_output=True, text=True, check=False)
                assert ran.returncode == 0, f"{path.name}: {text}{ran.stderr}"
                count += 1
    chart.render(yaml.dump(values).replace("sha256:...", chart.PIN))
    return count


def plain(text):
    """A line without what differs from run to run: ids, numbers, the machine's name, and the width of columns."""
    text = text.replace(socket.gethostname(), "vm")
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{8}\b|[0-9][0-9.]*", "#", text)
    return re.sub(r"\s+", " ", text).strip()


def sh(text, dir, env):
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=dir, env=env, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=300,
    )
    assert ran.returncode == 0, f"{text}\n{ran.stdout}{ran.stderr}"
    return ran.stdout + ran.stderr


def tutorial(dir, env):
    """One shell runs all blocks; what is promised stands in what it printed up to there."""
    mark, script, promised = "@@@", [], []
    for language, text in blocks(DOCS / "TUTORIAL.md"):
        if language == "sh":
            script.append(text)
        else:
            promised.append((len(script), text))
    text = f"\necho {mark}; echo {mark} >&2\n".join(script)
    # Another cluster may have the port that it has by itself.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = text.replace("0.0.0.0:7600", f"0.0.0.0:{port}").replace(
        '--volume "prices=$PWD/data:ro"\nexport', f'--volume "prices=$PWD/data:ro" --listen 127.0.0.1:{port}\nexport'
    )
    assert text.count(str(port)) == 2, text
    printed = [plain(line) for line in sh(f"exec 2>&1\n{text}", dir, env).splitlines()]
    for after, text in promised:
        for line in text.splitlines():
            # How much memory a job took is added where it ran for long enough to be seen.
            assert any(found.startswith(plain(line)) for found in printed), f"TUTORIAL.md: after block {after} nothing prints {line!r}"
    return len(script)


def guide(dir, env):
    """Writes the files of the guide to images, builds, looks and runs."""
    for language, text in blocks(DOCS / "how-to/job-images.md"):
        named = re.match(r"# file: (\S+)\n", text)
        if named:
            (dir / named[1]).write_text(text[named.end() :])
        elif language == "sh":
            printed = sh(text, dir, env)
            assert "sharpe" in printed, printed


def lean(dir, env):
    """The wrapper, with a launcher that leaves what LEAN leaves."""
    text = next(text for _, text in blocks(DOCS / "how-to/from-lean.md") if text.startswith("# file: lean-job.py"))
    (dir / "results").mkdir()
    (dir / "lean-job.py").write_text(text.replace("/tmp/", "./").replace("/results", f"{dir}/results"))
    (dir / "launcher").write_text(
        "#!/usr/bin/env python3\n"
        "import json, sys\n"
        "config = json.load(open(sys.argv[2]))\n"
        "assert config['parameters'] == {'ema-fast': '10'}, config\n"
        "found = {'Sharpe Ratio': '1.234', 'Net Profit': '-4.5%', 'Total Fees': '-$1,034.20', 'Estimated Strategy Capacity': 'n/a'}\n"
        "json.dump({'statistics': found}, open(config['results-destination-folder'] + '/x-summary.json', 'w'))\n"
    )
    (dir / "launcher").chmod(0o755)
    env = {**env, "LEAN_LAUNCHER": f"{dir}/launcher", "LEAN_DIR": str(dir)}
    sh("python3 lean-job.py MyAlgorithm /app/MyAlgorithm.py ema-fast=10", dir, env)
    metrics = (dir / "results/metrics.json").read_text()
    assert metrics == '{"sharpe_ratio": 1.234, "net_profit": -4.5, "total_fees": -1034.2}', metrics


def check():
    btctl = str(Path(os.environ.get("BTCTL_BINARY", chart.ROOT / "target/debug/btctl")).resolve())
    looked = sum(flags(btctl, path) for path in [DOCS / "TUTORIAL.md", *sorted((DOCS / "how-to").glob("*.md"))])
    assert looked > 40, f"only {looked} lines of the pages call btctl"
    had = subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, check=False).returncode == 0
    if not had:
        subprocess.run(["docker", "tag", LOCAL_BASE, BASE], check=True)
    dir = Path(tempfile.mkdtemp(prefix="btctl-pages-"))
    dir.chmod(0o755)
    try:
        (dir / "bin").mkdir()
        (dir / "bin/btctl").symlink_to(btctl)
        env = {key: value for key, value in os.environ.items() if not key.startswith("BTCTL_")}
        env |= {"PATH": f"{dir}/bin:{env['PATH']}", "XDG_STATE_HOME": f"{dir}/xdg", "XDG_CONFIG_HOME": f"{dir}/config"}
        env["DOCKER_BUILDKIT"] = "0"
        for name in ("tutorial", "guide", "lean"):
            (dir / name).mkdir()
        found = manifests(btctl, dir)
        lean(dir / "lean", env)
        guide(dir / "guide", env)
        count = tutorial(dir / "tutorial", env)
    finally:
        subprocess.run([btctl, "down", "--now", "--state-dir", dir / "tutorial/first/state"], capture_output=True, check=False)
        made = ["my-backtest:1", "quant/windows:1.0.0", *([] if had else [BASE])]
        subprocess.run(["docker", "rmi", *made], capture_output=True, check=False)
        shutil.rmtree(dir, ignore_errors=True)
    return (
        f"{looked} calls of btctl have flags that it knows, {found} manifests are taken; {count} blocks of the tutorial, the"
        " guide and LEAN's wrapper ran"
    )
