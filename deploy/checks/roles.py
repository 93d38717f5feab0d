"""deploy/ansible: ansible-lint's strictest profile, and the playbook's syntax with the inventory that is shipped."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

DIR = Path(__file__).resolve().parents[2] / "deploy/ansible"
BIN = Path(sys.executable).parent


def run(*args):
    with tempfile.TemporaryDirectory() as home:
        path = f"{BIN}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "ANSIBLE_HOME": home, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
        ran = subprocess.run([BIN / args[0], *args[1:]], cwd=DIR, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(args)}: {ran.stdout}{ran.stderr}"


def check():
    run("ansible-lint", "--offline", "--strict", "--profile", "production", "site.yml")
    run("ansible-playbook", "--syntax-check", "-i", "inventory.example.yml", "site.yml")
    return "the playbook fits ansible-lint's profile production"
