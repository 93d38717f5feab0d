"""Settings are found as the command line finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from btctl._settings import coordinators, owner, parse_flat, token
from btctl._transport import Transport
from btctl.errors import SettingsError


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("BTCTL_COORDINATOR", "BTCTL_CONFIG", "BTCTL_OWNER", "BTCTL_TOKEN", "BTCTL_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def test_an_argument_wins_over_a_variable_over_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    directory = tmp_path / "config" / "btctl"
    directory.mkdir(parents=True)
    (directory / "client.toml").write_text('# mine\ncoordinator = "http://file:1"\nowner = "ann"\n')
    assert coordinators() == ("http://file:1",) and owner() == "ann"
    other = tmp_path / "other.toml"
    other.write_text('coordinator = "http://other:1"\n')
    monkeypatch.setenv("BTCTL_CONFIG", str(other))
    assert coordinators() == ("http://other:1",)
    monkeypatch.setenv("BTCTL_COORDINATOR", "http://variable:1, http://second:2/below/")
    assert coordinators() == ("http://variable:1", "http://second:2/below")
    assert coordinators("https://argument") == ("https://argument",)


def test_what_is_wrong_is_named_with_its_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="argument.*'localhost:7600' is no address"):
        coordinators("localhost:7600")
    monkeypatch.setenv("BTCTL_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SettingsError, match="does not exist; BTCTL_CONFIG names it"):
        coordinators()
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("coordinator = http")
    monkeypatch.setenv("BTCTL_CONFIG", str(wrong))
    with pytest.raises(SettingsError, match="wrong.toml can't be read"):
        coordinators()


def test_older_pythons_read_the_file_too() -> None:
    assert parse_flat("# x\n\ncoordinator = \"http://a:1\" # y\nowner='ann'\n") == {
        "coordinator": "http://a:1",
        "owner": "ann",
    }
    with pytest.raises(ValueError, match="line 1"):
        parse_flat("owner = [1]")


def test_a_token_is_found_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert token() is None
    directory = tmp_path / "config" / "btctl"
    directory.mkdir(parents=True)
    (directory / "client.toml").write_text('token_file = "mine.token"\n')
    (directory / "mine.token").write_text("btctl_a_1\n")
    assert token() == "btctl_a_1"
    other = tmp_path / "other.token"
    other.write_text("two words of hunter2")
    monkeypatch.setenv("BTCTL_TOKEN_FILE", str(other))
    with pytest.raises(SettingsError, match="no token stands there") as refused:
        token()
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("BTCTL_TOKEN", "btctl_b_2")
    assert token() == "btctl_b_2" and token("btctl_c_3") == "btctl_c_3"
    assert owner(known=True) is None and owner("ann", known=True) == "ann"


def test_a_token_goes_with_each_call_and_is_not_shown() -> None:
    transport = Transport(("http://127.0.0.1:1",), token="btctl_a_secret")
    assert "secret" not in repr(transport)
    with pytest.warns(UserWarning, match="without encryption to http://node7:1"):
        Transport(("http://node7:1",), token="btctl_a_secret")
