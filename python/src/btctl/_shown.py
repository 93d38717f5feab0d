"""How far a sweep is: a bar in a notebook and on a terminal, lines elsewhere."""

from __future__ import annotations

import html
import sys
import time
from typing import Any, Optional, TextIO

from ._tables import has
from .types import Counts

WIDTH = 40
# Seconds between lines where nothing can be drawn over.
EVERY = 5.0


def line(name: str, counts: Counts) -> str:
    parts = [f"{counts.ended}/{counts.jobs}"]
    for state in ("running", "failed", "cancelled", "pruned"):
        number = getattr(counts, state)
        if number:
            parts.append(f"{number} {state}")
    return f"{name}: {', '.join(parts)}"


def bar(counts: Counts) -> str:
    """As the command line draws it: succeeded, failed, cancelled, pruned, running, queued."""
    jobs, text, done = max(counts.jobs, 1), "", 0
    ended = (("█", counts.succeeded), ("x", counts.failed), ("-", counts.cancelled), ("~", counts.pruned))
    for mark, number in (*ended, ("▒", counts.running)):
        done += number
        text += mark * (done * WIDTH // jobs - len(text))
    return text.ljust(WIDTH, "░")


class Shown:
    """Draws in the way that suits where the program runs."""

    def __init__(self, name: str, out: Optional[TextIO] = None) -> None:
        self._name = name
        self._out = out or sys.stderr
        self._is_terminal = out is None and _is_terminal(self._out)
        self._handle: Any = _display() if out is None else None
        self._last = ""
        self._said_at = -EVERY

    def show(self, counts: Counts, is_last: bool = False) -> None:
        text = line(self._name, counts)
        if self._handle is not None:
            if text != self._last:
                self._handle.update(_Html(text, counts))
        elif self._is_terminal:
            self._out.write(f"\r\x1b[2K{bar(counts)} {text}" + ("\n" if is_last else ""))
            self._out.flush()
        elif text != self._last and (is_last or time.monotonic() - self._said_at >= EVERY):
            self._said_at = time.monotonic()
            print(text, file=self._out, flush=True)
        else:
            return
        self._last = text

    def say(self, text: str) -> None:
        """A line of its own, below what was drawn."""
        if self._is_terminal and self._handle is None:
            self._out.write("\n")
        print(text, file=self._out, flush=True)


class _Html:
    def __init__(self, text: str, counts: Counts) -> None:
        self._text = text
        self._counts = counts

    def __repr__(self) -> str:
        return f"{bar(self._counts)} {self._text}"

    def _repr_html_(self) -> str:
        jobs = max(self._counts.jobs, 1)
        return (
            f'<progress max="{jobs}" value="{self._counts.ended}" style="width: 24em"></progress> '
            f"{html.escape(self._text)}"
        )


def _is_terminal(out: TextIO) -> bool:
    try:
        return out.isatty()
    except (AttributeError, ValueError):
        return False


def _display() -> Any:
    """A place in the notebook that this runs in; none elsewhere."""
    if "IPython" not in sys.modules or not has("IPython.display"):
        return None
    ipython: Any = sys.modules["IPython"]
    shell = ipython.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    display: Any = __import__("IPython.display", fromlist=["display"]).display
    return display(_Html("", Counts(0, 0, 0, 0, 0, 0)), display_id=True)
