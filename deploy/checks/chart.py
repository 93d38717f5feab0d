"""deploy/helm: lints the chart, renders it with each of its values, and holds what comes out against Kubernetes' schemas."""

import copy
import json
import re
import subprocess
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/btctl"
# The oldest that Chart.yaml allows, and the newest that the validator knows.
OLDEST = "1.25"
NOT_KUBERNETES = {"ServiceMonitor", "PodMonitor", "ScaledObject", "TriggerAuthentication"}
PIN = "sha256:" + "0" * 64

# Values that must be refused, and a word of the reason.
WRONG = [
    ("coordinator: {}", "store"),
    ("coordinator: { store: results }", "/coordinator/store"),
    ("coordinator: { store: /srv/results }", "storeClaim"),
    ("coordinator: { store: s3://b/p, storeClaim: results }", "storeClaim"),
    ("coordinator: { store: s3://b/p, replicas: 0 }", "/coordinator/replicas"),
    ("coordinator: { store: s3://b/p, replica: 3 }", "replica"),
    ("coordinator: { store: s3://b/p, env: { BTCTL_INSECURE: true } }", "BTCTL_INSECURE"),
    ("coordinator: { store: s3://b/p }\nagents: { enabled: true }", "caPin"),
    ("coordinator: { store: s3://b/p }\nagents: { enabled: true, caPin: sha256:12 }", "caPin"),
    (f"coordinator: {{ store: s3://b/p }}\nagents: {{ enabled: true, caPin: '{PIN}', kind: Job }}", "/agents/kind"),
    (f"coordinator: {{ store: s3://b/p }}\nagents: {{ enabled: true, caPin: '{PIN}', memory: 8GiB }}", "/agents/memory"),
    (
        f"coordinator: {{ store: s3://b/p }}\nagents: {{ enabled: true, caPin: '{PIN}',"
        " volumes: [{ name: p, path: srv/prices }] }",
        "/agents/volumes/0/path",
    ),
    (
        f"coordinator: {{ store: s3://b/p }}\nagents: {{ enabled: true, caPin: '{PIN}', terminationGracePeriodSeconds: 30 }}",
        "terminationGracePeriodSeconds",
    ),
    (
        f"coordinator: {{ store: s3://b/p }}\nagents: {{ enabled: true, caPin: '{PIN}' }}\nkeda: {{ enabled: true }}",
        "agents.kind: Deployment",
    ),
    (
        f"coordinator: {{ store: s3://b/p }}\nagents: {{ enabled: true, caPin: '{PIN}', kind: Deployment }}\n"
        "keda: { enabled: true }",
        "agents.cpus",
    ),
    ("coordinator: { store: s3://b/p }\nservice: { port: 70000 }", "/service/port"),
]


def helm(*args, values=None):
    command = [ROOT / "target/tools/deploy/helm", *args]
    if values is not None:
        command += ["--values", "-"]
    return subprocess.run(command, input=values, capture_output=True, text=True, check=False)


def render(values):
    ran = helm("template", "bt", str(CHART), "--namespace", "backtests", values=values)
    if ran.returncode != 0:
        raise AssertionError(ran.stderr)
    return [found for found in yaml.safe_load_all(ran.stdout) if found]


def variables(container):
    return {given["name"]: given.get("value") for given in container.get("env", [])}


def hardened(what):
    pod = what["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False, what["metadata"]["name"]
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    mounted = {volume["name"] for volume in pod["volumes"]}
    for container in pod["containers"]:
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"] is True and rights["allowPrivilegeEscalation"] is False
        assert rights["capabilities"]["drop"] == ["ALL"] and "privileged" not in rights
        assert {mount["name"] for mount in container["volumeMounts"]} == mounted
    return pod


def whole(objects, settings):
    """What no schema says: walls, names that fit, settings that btctl knows."""
    by_kind = {}
    for what in objects:
        by_kind.setdefault((what["kind"], what["metadata"]["labels"]["app.kubernetes.io/component"]), what)
    deployment = by_kind["Deployment", "coordinator"]
    pod = hardened(deployment)
    assert pod["securityContext"]["runAsNonRoot"] is True and "capabilities" in pod["containers"][0]["securityContext"]
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    for kind, selector in (("Service", lambda s: s), ("PodDisruptionBudget", lambda s: s["matchLabels"])):
        assert selector(by_kind[kind, "coordinator"]["spec"]["selector"]).items() <= labels, kind
    ports = {port["name"] for port in pod["containers"][0]["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert pod["containers"][0][probe]["httpGet"]["port"] in ports
    assert by_kind["Service", "coordinator"]["spec"]["ports"][0]["targetPort"] in ports
    for (kind, part), what in by_kind.items():
        if kind not in ("Deployment", "DaemonSet"):
            continue
        pod = hardened(what)
        container = pod["containers"][0]
        for name in variables(container):
            assert not name.startswith("BTCTL_") or f"`{name}`" in settings, f"docs/SETTINGS.md has no {name}"
        if part == "agent":
            # The engine mounts by the paths that the agent knows.
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            for volume in pod["volumes"]:
                if "hostPath" in volume:
                    assert volume["hostPath"]["path"] == mounts[volume["name"]], volume
    return set(by_kind)


def check():
    settings = (ROOT / "docs/SETTINGS.md").read_text()
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
    assert chart["appVersion"] == version, f"Chart.yaml has appVersion {chart['appVersion']}, Cargo.toml {version}"
    newest = kubernetes_validate.latest_version()
    kinds, objects = set(), 0
    for path in sorted((CHART / "ci").glob("*.yaml")):
        values = path.read_text()
        ran = helm("lint", "--strict", str(CHART), values=values)
        assert ran.returncode == 0, f"{path.name}: {ran.stdout}{ran.stderr}"
        found = render(values)
        for what in found:
            if what["kind"] not in NOT_KUBERNETES:
                for kubernetes in (OLDEST, newest):
                    kubernetes_validate.validate(copy.deepcopy(what), kubernetes, strict=True)
        kinds |= whole(found, settings)
        objects += len(found)
    missing = {"DaemonSet", "Deployment", "Service", "PodDisruptionBudget", *NOT_KUBERNETES} - {kind for kind, _ in kinds}
    assert not missing, f"no values in ci/ make a {missing}"
    for values, reason in WRONG:
        ran = helm("template", "bt", str(CHART), values=values)
        assert ran.returncode != 0, f"this is not refused: {values}"
        assert reason in ran.stderr, f"{values} is refused without {reason!r}: {ran.stderr}"
    json.loads((CHART / "values.schema.json").read_text())
    return f"{objects} objects fit Kubernetes {OLDEST} and {newest}, {len(WRONG)} wrong values were refused"
