"""Makes dataclasses of JSON, by their fields' types. Keys that are not known are left out: the API only ever adds some."""

from __future__ import annotations

import dataclasses
import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Dict, Type, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from .errors import Damaged

T = TypeVar("T")

_TIME = re.compile(r"(\d+-\d+-\d+)[Tt ](\d+:\d+:\d+)(?:\.(\d+))?(Z|z|[+-]\d\d:\d\d)")


def decode(kind: Type[T], value: Any) -> T:
    """The value as this dataclass."""
    return cast(T, _decode(kind, value, kind.__name__))


@lru_cache(maxsize=None)
def _fields(kind: Type[Any]) -> Dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: (hints[field.name], _is_needed(field)) for field in dataclasses.fields(kind)}


def _is_needed(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _decode(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    origin, args = get_origin(kind), get_args(kind)
    if origin is Union:
        # Only Optional is used.
        return None if value is None else _decode(args[0], value, where)
    if origin is list and isinstance(value, list):
        return [_decode(args[0], item, f"{where}[]") for item in cast("Any", value)]
    if origin is dict and isinstance(value, dict):
        return {key: _decode(args[1], item, f"{where}.{key}") for key, item in cast("Dict[str, Any]", value).items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        found = cast("Dict[str, Any]", value)
        given: Dict[str, Any] = {}
        for name, (hint, is_needed) in _fields(kind).items():
            if name in found:
                given[name] = _decode(hint, found[name], f"{where}.{name}")
            elif is_needed:
                raise Damaged(f"the coordinator's answer lacks {where}.{name}; is it of another version of btctl?")
        return cast(Any, kind)(**given)
    if kind is datetime and isinstance(value, str):
        return time_of(value)
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind in (str, bool, int) and type(value) is kind:
        return value
    raise Damaged(f"the coordinator's answer has {value!r} as {where}; is it of another version of btctl?")


def time_of(text: str) -> datetime:
    """A time as RFC 3339 has it, to the microsecond."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise Damaged(f"the coordinator's answer has {text!r} as a time")
    time = datetime.strptime(f"{found[1]} {found[2]}", "%Y-%m-%d %H:%M:%S")
    time = time.replace(microsecond=int((found[3] or "0")[:6].ljust(6, "0")), tzinfo=timezone.utc)
    if found[4] in "Zz":
        return time
    hours, minutes = found[4][1:].split(":")
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return time - offset if found[4][0] == "+" else time + offset
