"""Each class of btctl.types against the schema that the running coordinator describes."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any, Dict, List, Union, get_args, get_origin, get_type_hints

import pytest

import btctl
from btctl import types
from btctl._decode import decode, time_of

CLASSES = [kind for kind in vars(types).values() if dataclasses.is_dataclass(kind) and isinstance(kind, type)]
PLAIN = {str: "string", int: "integer", float: "number", bool: "boolean", datetime: "string"}


@pytest.fixture(scope="session")
def schemas(client: btctl.Client) -> Dict[str, Any]:
    document: Dict[str, Any] = client.transport.json("GET", "/api/openapi.json")
    return document["components"]["schemas"]  # type: ignore[no-any-return]


def schema_of(kind: Any) -> str:
    name: str = kind.__name__
    return types.SCHEMAS.get(name, name)


def differs(hint: Any, schema: Any) -> str:
    """How a schema differs from a field's type; empty if it does not."""
    if hint is Any:
        return ""
    if not isinstance(schema, dict):
        return f"is {schema}"
    given: Dict[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
    origin, args = get_origin(hint), get_args(hint)
    if origin is Union:
        if "anyOf" in given:
            others: List[Any] = [one for one in given["anyOf"] if one != {"type": "null"}]
            return differs(args[0], others[0]) if len(given["anyOf"]) == 2 == len(others) + 1 else f"is {given}"
        kinds: Any = given.get("type")
        if not isinstance(kinds, list) or "null" not in kinds:
            return "can't be null"
        rest: List[str] = [one for one in kinds if one != "null"]  # pyright: ignore[reportUnknownVariableType]
        return differs(args[0], {**given, "type": rest[0]})
    if origin is list:
        return differs(args[0], given.get("items")) if given.get("type") == "array" else f"is {given}"
    if origin is dict:
        if given.get("type") != "object":
            return f"is {given}"
        return "" if args[1] is Any else differs(args[1], given.get("additionalProperties"))
    if dataclasses.is_dataclass(hint):
        return "" if given.get("$ref") == f"#/components/schemas/{schema_of(hint)}" else f"is {given}"
    if hint is datetime and given.get("format") != "date-time":
        return f"is {given}"
    if "$ref" in given and hint is str:
        # A state: an enumeration of texts.
        return ""
    return "" if given.get("type") == PLAIN[hint] else f"is {given}"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_field_is_described_with_its_type(kind: type, schemas: Dict[str, Any]) -> None:
    schema = schemas[schema_of(kind)]
    properties: Dict[str, Any] = dict(schema["properties"])
    needed = set(schema["required"])
    forms: List[Any] = schema.get("oneOf", [])
    for form in forms:
        properties.update(form["properties"])
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        assert field.name in properties, f"{kind.__name__}.{field.name} is not described"
        if field.default is dataclasses.MISSING:
            everywhere = forms and all(field.name in form["required"] for form in forms)
            assert field.name in needed or everywhere, f"{kind.__name__}.{field.name} may be left out"
            assert not differs(hints[field.name], properties[field.name]), f"{kind.__name__}.{field.name}"
        else:
            # Only some forms have it.
            wrong = differs(hints[field.name], properties[field.name])
            wrong = wrong and differs(get_args(hints[field.name])[0], properties[field.name])
            assert not wrong, f"{kind.__name__}.{field.name} {wrong}"


def test_a_changed_description_is_noticed() -> None:
    assert differs(int, {"type": "string"})
    assert differs(Union[int, None], {"type": "integer"})
    assert differs(List[int], {"type": "array", "items": {"type": "string"}})
    assert differs(types.Counts, {"$ref": "#/components/schemas/Usage"})
    assert differs(datetime, {"type": "string"})
    assert not differs(Union[int, None], {"type": ["integer", "null"]})


def test_answers_of_another_version_are_refused_in_words() -> None:
    with pytest.raises(btctl.errors.Damaged, match="lacks Counts.running"):
        decode(types.Counts, {"queued": 1})
    with pytest.raises(btctl.errors.Damaged, match="Retried.queued"):
        decode(types.Retried, {"queued": "many"})
    assert decode(types.Retried, {"queued": 2, "more": True}) == types.Retried(2)


def test_times_are_read_to_the_microsecond() -> None:
    assert time_of("2026-01-31T12:00:00.123456789Z").isoformat() == "2026-01-31T12:00:00.123456+00:00"
    assert time_of("2026-01-31T12:00:00+02:00").isoformat() == "2026-01-31T10:00:00+00:00"
    with pytest.raises(btctl.errors.Damaged):
        time_of("yesterday")
