"""Manifests: a file as it is, or one that is made of arguments."""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, SupportsFloat, Tuple, Union

from .errors import BtctlError

Number = SupportsFloat
# What a manifest may be given as.
Manifest = Union[str, "os.PathLike[str]", Mapping[str, Any]]

FORMS = {".yaml": "application/yaml", ".yml": "application/yaml", ".toml": "application/toml", ".json": "application/json"}
RESOURCES = ("cpus", "memory", "gpus", "shm", "disk")


@dataclass(frozen=True)
class Span:
    """Numbers from one to another, both included."""

    start: Number
    stop: Number
    step: Number = 1


def span(start: Number, stop: Number, step: Number = 1) -> Span:
    """An axis of the matrix: span(20, 200, 20) is 20, 40, ... 200, with both ends."""
    return Span(start, stop, step)


def written(manifest: Optional[Manifest], keys: Mapping[str, Any]) -> Tuple[bytes, str]:
    """The manifest as it is sent, and its media type."""
    given = {key: value for key, value in keys.items() if value is not None}
    if isinstance(manifest, Mapping):
        given = {**manifest, **given}
    elif manifest is not None:
        path = Path(manifest)
        if given:
            raise BtctlError(
                f"{path} is sent as it is, so {', '.join(sorted(given))} can't be given beside it; "
                "write it into the file, or give the manifest as a dict"
            )
        form = FORMS.get(path.suffix.lower())
        if form is None:
            raise BtctlError(f"{path} has no ending of a manifest; endings are {', '.join(FORMS)}")
        return path.read_bytes(), form
    if "image" not in given and manifest is None:
        raise BtctlError("a sweep needs an image: submit(image='my-backtest:1', ...), or the file of a manifest")
    resources: Dict[str, Any] = dict(given.pop("resources", {}))
    resources.update({key: given.pop(key) for key in RESOURCES if key in given})
    if resources:
        given["resources"] = resources
    return json.dumps(given, default=plain, allow_nan=False).encode(), FORMS[".json"]


def rows(params: Any) -> Optional[List[Dict[Any, Any]]]:
    """Rows of parameters: mappings, or a table of pandas or polars."""
    if params is None:
        return None
    if hasattr(params, "to_dicts"):
        params = params.to_dicts()
    elif hasattr(params, "to_dict"):
        params = params.to_dict("records")
    return [dict(row) for row in params]


def plain(value: Any) -> Any:
    """What JSON can hold of values that it does not know."""
    if isinstance(value, Span):
        return {"from": _plain_number(value.start), "to": _plain_number(value.stop), "step": _plain_number(value.step)}
    if isinstance(value, (datetime.date, datetime.datetime)):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if hasattr(value, "tolist"):
        # Arrays and numbers of numpy, and columns of pandas.
        return value.tolist()
    if hasattr(value, "__iter__"):
        return list(value)
    raise TypeError(f"{value!r} can't stand in a manifest")


def _plain_number(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
