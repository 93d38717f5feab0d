"""Where the coordinator is, and whose sweeps are made: as the command line finds it out (docs/SETTINGS.md)."""

from __future__ import annotations

import getpass
import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .errors import SettingsError

DEFAULT = "http://127.0.0.1:7600"


def coordinators(address: Optional[str] = None) -> Tuple[str, ...]:
    """The addresses to try, in turn."""
    text, source = _found("coordinator", "BTCTL_COORDINATOR", address)
    addresses: List[str] = []
    for part in (text or DEFAULT).split(","):
        part = part.strip().rstrip("/")
        if not part:
            continue
        if not re.match(r"https?://[^/\s]+", part):
            raise SettingsError(f"coordinator ({source}): {part!r} is no address; write http://HOST:PORT")
        addresses.append(part)
    if not addresses:
        raise SettingsError(f"coordinator ({source}): no address stands there; write http://HOST:PORT")
    return tuple(addresses)


def token(given: Optional[str] = None) -> Optional[str]:
    """The token that says who calls: what is given, BTCTL_TOKEN, or what is in the file that is named."""
    if given is not None:
        return _token(given, "argument")
    if os.environ.get("BTCTL_TOKEN"):
        return _token(os.environ["BTCTL_TOKEN"], "environment variable BTCTL_TOKEN")
    named, source = _found("token_file", "BTCTL_TOKEN_FILE", None)
    if not named:
        return None
    # A relative path in a settings file is one from that file's directory.
    below = Path(source[len("file ") :]).parent if source.startswith("file ") else Path()
    path = below / named
    try:
        return _token(path.read_text(encoding="utf-8"), f"file {path}")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"token_file ({source}): {path} can't be read: {error}") from error


def _token(text: str, source: str) -> str:
    """What is wrong is told without what is there."""
    text = text.strip()
    if not re.fullmatch(r"[!-~]{1,200}", text):
        raise SettingsError(f"token ({source}): no token stands there; one looks like btctl_ID_SECRET")
    return text


def owner(name: Optional[str] = None, known: bool = False) -> Optional[str]:
    """Whose sweeps a submit makes; where a token says who one is, nobody's unless it is set."""
    found, _ = _found("owner", "BTCTL_OWNER", name)
    if found:
        return found
    if known:
        return None
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid()) if hasattr(os, "getuid") else "python"


def _found(key: str, variable: str, given: Optional[str]) -> Tuple[Optional[str], str]:
    if given is not None:
        return given, "argument"
    if os.environ.get(variable):
        return os.environ[variable], f"environment variable {variable}"
    for path, settings in _files():
        if key in settings:
            return settings[key], f"file {path}"
    return None, "default"


def _files() -> Iterator[Tuple[Path, Dict[str, str]]]:
    named = os.environ.get("BTCTL_CONFIG")
    if named:
        path = Path(named)
        if not path.exists():
            raise SettingsError(f"{path} does not exist; BTCTL_CONFIG names it")
        yield path, _read(path)
        return
    config = Path(os.environ.get("XDG_CONFIG_HOME") or _home(".config")) / "btctl"
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        state = Path("/var/lib/btctl")
    else:
        state = Path(os.environ.get("XDG_STATE_HOME") or _home(".local/state")) / "btctl"
    for directory in (config, state):
        path = directory / "client.toml"
        if path.exists():
            yield path, _read(path)


def _home(below: str) -> Path:
    return Path(os.path.expanduser("~")) / below


def _read(path: Path) -> Dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
        return {key: value for key, value in _parse(text).items() if isinstance(value, str)}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} can't be read: {error}") from error


if sys.version_info >= (3, 11):
    import tomllib

    def _parse(text: str) -> Dict[str, Any]:
        return tomllib.loads(text)

else:

    def _parse(text: str) -> Dict[str, Any]:
        return parse_flat(text)


def parse_flat(text: str) -> Dict[str, Any]:
    """Lines of `key = "text"`, which is all that the file holds: Python reads TOML from 3.11 on only."""
    found: Dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"""([\w-]+)\s*=\s*(?:"([^"\\]*)"|'([^']*)')\s*(?:#.*)?""", line)
        if match is None:
            raise ValueError(f'line {number} is not KEY = "TEXT"')
        found[match[1]] = match[2] if match[2] is not None else match[3]
    return found
