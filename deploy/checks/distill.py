"""Writes schemas/PROVIDER.json: what the resources that deploy/terraform uses take, out of a package that was made from the
provider's own schema. `pip download --no-deps cdktf-cdktf-provider-aws cdktf-cdktf-provider-google`, and the files it brings
are the arguments."""

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path

import terraform


def assembly(wheel):
    with zipfile.ZipFile(wheel) as outer:
        name = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as inner:
            found = inner.extractfile("package/.jsii")
            return json.load(found)["types"]


def structs(kind):
    """The types of the assembly that a type of an argument names."""
    if "fqn" in kind:
        return [kind["fqn"]]
    if "union" in kind:
        return [name for part in kind["union"]["types"] for name in structs(part)]
    if "collection" in kind and kind["collection"]["kind"] == "array":
        return structs(kind["collection"]["elementtype"])
    return []


def arguments(types, name):
    out = {"attributes": {}, "blocks": {}}
    for found in types[name]["properties"]:
        docs = found.get("docs", {})
        text = docs.get("summary", "") + docs.get("remarks", "")
        link = re.search(r"#([a-z0-9_]+) ", text)
        if not link:
            continue
        below = [name for name in structs(found["type"]) if name in types and types[name].get("datatype")]
        required = not found.get("optional", False)
        if below and docs.get("summary", "").endswith("block."):
            out["blocks"][link[1]] = {"required": required, **arguments(types, below[0])}
        else:
            out["attributes"][link[1]] = required
    return out


def camel(words):
    first, *rest = words.split("_")
    return first + "".join(word.capitalize() for word in rest)


for path in sys.argv[1:]:
    types = assembly(path)
    provider = "aws" if "provider_aws" in Path(path).name else "google"
    out = {"made_from": Path(path).name}
    for kind, name in sorted(terraform.used(provider)):
        plain = name.removeprefix(f"{provider}_")
        module = camel(f"data_{provider}_{plain}" if kind == "data" else plain)
        config = f"@cdktf/provider-{provider}.{module}.{module[0].upper()}{module[1:]}Config"
        out[f"{kind} {name}"] = arguments(types, config)
    Path(__file__).with_name("schemas").joinpath(f"{provider}.json").write_text(json.dumps(out, indent=1) + "\n")
