"""The example notebook, cell by cell as Jupyter runs it: against the real image of the example."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any, Dict, List

import btctl

NOTEBOOK = Path(__file__).parent.parent.parent / "examples" / "notebook.ipynb"


def run(source: str, names: Dict[str, Any]) -> Any:
    """Runs a cell; what it shows is the value of its last line."""
    body: List[ast.stmt] = ast.parse(source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), str(NOTEBOOK), "exec"), names)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names) if isinstance(last, ast.Expr) else None


def test_its_cells_run(client: btctl.Client) -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 4)
    names: Dict[str, Any] = {"__name__": "__main__"}
    shown: List[Any] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None, "it is kept without what it printed"
            shown.append(run("".join(cell["source"]), names))
    assert client.sweep("notebook").counts.succeeded == 4 == client.sweep("notebook-search").counts.succeeded
    _, pivot, best, files, parameters = shown
    assert pivot.shape == (2, 2) and pivot.notna().all().all()
    assert len(best) == 3 and "stats.pkl" in files and set(parameters) == {"fast", "slow"}
