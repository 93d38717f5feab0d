"""What `pip install ./python` installs: one small wheel for every Python, which needs nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_wheel_is_small_typed_and_needs_nothing(tmp_path: Path) -> None:
    build = "import sys; from flit_core.buildapi import build_wheel; print(build_wheel(sys.argv[1]))"
    made = subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    assert made.endswith("-py3-none-any.whl")
    wheel = tmp_path / made
    assert wheel.stat().st_size < 200_000
    names = zipfile.ZipFile(wheel).namelist()
    assert "btctl/py.typed" in names and not any(name.startswith("tests") for name in names)
    # Neither the environment's packages nor its variables.
    use = f"import sys; sys.path.insert(0, {str(wheel)!r}); import btctl; print(btctl.span(1, 2), btctl.__version__)"
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-c", use], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    assert said.startswith("Span(start=1, stop=2, step=1) 0.1")
