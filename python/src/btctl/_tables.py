"""Results as the tables of pandas, polars and pyarrow. They come as Parquet, so that columns keep their types."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ._transport import Call, Transport, part
from .errors import BtctlError, Damaged

FORMS = ("pandas", "polars", "arrow", "dicts")


def module(name: str, why: str) -> Any:
    """A package that is not needed for anything else."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.split(".")[0]
        raise BtctlError(
            f"{why} needs {package}, which can't be imported ({error}): pip install {package}, or use as_='dicts'"
        ) from error


def has(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def results(transport: Transport, sweep: str, form: str) -> Any:
    """All jobs of a sweep with their parameters and metrics."""

    def export(kind: str) -> bytes:
        return transport.send(Call("GET", f"/api/sweeps/{part(sweep)}/export.{kind}")).body

    if form == "dicts":
        return json.loads(export("json"))
    if form == "pandas":
        pandas = module("pandas", "as_='pandas'")
        if has("pyarrow"):
            return pandas.read_parquet(io.BytesIO(export("parquet")))
        return pandas.read_csv(io.BytesIO(export("csv")))
    if form == "polars":
        return module("polars", "as_='polars'").read_parquet(io.BytesIO(export("parquet")))
    if form == "arrow":
        return module("pyarrow.parquet", "as_='arrow'").read_table(io.BytesIO(export("parquet")))
    raise BtctlError(f"as_={form!r} is no form of a table; forms are {', '.join(FORMS)}")


Series = List[Tuple[Any, Optional[float]]]


def returns_of(content: bytes) -> Optional[Series]:
    """The returns in a metrics file: `series.returns`, or those between the values of `series.equity`."""
    try:
        document = json.loads(content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"))
    except ValueError as error:
        raise Damaged(f"the metrics file is not JSON: {error}") from error
    series = document.get("series") if isinstance(document, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if not isinstance(series, Mapping):
        return None
    given: Mapping[str, Any] = series  # pyright: ignore[reportUnknownVariableType]
    if given.get("returns"):
        return _points(given["returns"])
    if given.get("equity"):
        return _differences(_points(given["equity"]))
    return None


def _points(values: Sequence[Any]) -> Series:
    """Points with their times; numbers alone are counted from 0."""
    points: Series = []
    for number, value in enumerate(values):
        time, value = value if isinstance(value, list) else (number, value)  # pyright: ignore[reportUnknownVariableType]
        points.append((time, None if value is None else float(value)))  # pyright: ignore[reportUnknownArgumentType]
    return points


def _differences(points: Series) -> Series:
    """Each value's change from the one before, as a part of that one."""
    found: Series = []
    for (_, before), (time, value) in zip(points, points[1:]):
        is_known = value is not None and before is not None and before != 0
        found.append((time, value / before - 1 if is_known and value is not None and before else None))
    return found


def _order(time: Any) -> Tuple[bool, Any]:
    """Numbers before texts."""
    return isinstance(time, str), time


def aligned(columns: Mapping[int, Series], form: str) -> Any:
    """Series of jobs side by side: a row for each time that one of them has, a column for each job."""
    if form == "dicts":
        return {job: dict(points) for job, points in columns.items()}
    if form not in ("pandas", "polars", "arrow"):
        raise BtctlError(f"as_={form!r} is no form of a table; forms are {', '.join(FORMS)}")
    times: List[Any] = sorted({time for points in columns.values() for time, _ in points}, key=_order)
    rows = {time: row for row, time in enumerate(times)}
    filled: Dict[int, List[Optional[float]]] = {}
    for job, points in columns.items():
        column: List[Optional[float]] = [None] * len(times)
        for time, value in points:
            column[rows[time]] = value
        filled[job] = column
    if form == "pandas":
        pandas = module("pandas", "as_='pandas'")
        index: Any = times
        if times and all(isinstance(time, str) for time in times):
            try:
                index = pandas.to_datetime(times, format="ISO8601")
            except ValueError:
                # Texts that are no dates stay as they are.
                index = times
        return pandas.DataFrame(filled, index=pandas.Index(index, name="time"), dtype="float64")
    named: Dict[str, Any] = {"time": times, **{str(job): column for job, column in filled.items()}}
    if form == "polars":
        return module("polars", "as_='polars'").DataFrame(named)
    return module("pyarrow", "as_='arrow'").table(named)
