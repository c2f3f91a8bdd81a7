"""Units for systemd: what stands in them follows from the options, the place and the machine."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from asgi_arbiter.arbiter import unit
from asgi_arbiter.arbiter.unit import generate, quoted
from asgi_arbiter.config.errors import ArbiterError, ConfigError, ConflictingSettings

SYSTEMD = Path(__file__).parents[3] / "systemd"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a speaking name, and a systemd without Type=notify-reload."""
    folder = tmp_path / "my shop"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(unit, "systemd_version", lambda: 252)
    return folder


def made(*words: str) -> dict[str, str]:
    """The unit as pairs; of a key that comes twice the last."""
    lines = generate(words)[0].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_program_the_directory_and_the_options_are_the_ones_at_hand(place: Path) -> None:
    found = made("--workers", "3", "--header", "X:100% $a", "main:app")
    assert found["WorkingDirectory"] == str(place)
    program, *options = shlex.split(found["ExecStart"])
    assert Path(program).parent == Path(os.path.abspath(sys.executable)).parent
    assert options[-5:] == ["--workers", "3", "--header", "X:100%% $$a", "main:app"]
    assert generate(["main:app"])[0].startswith("# /etc/systemd/system/my-shop.service\n")


def test_the_limits_leave_room_for_ours() -> None:
    words = ("--graceful-timeout", "60", "--drain-delay", "5", "--boot-timeout", "0", "main:app")
    found = made(*words)
    assert (found["TimeoutStopSec"], found["TimeoutStartSec"]) == ("80", "infinity")


def test_user_and_group_are_systemds_to_set() -> None:
    found = made("--user", "daemon", "--group", "daemon", "main:app")
    assert (found["User"], found["Group"]) == ("daemon", "daemon")


def test_a_service_for_root_says_that_it_should_not_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "_current_user", lambda: "root")
    assert "give it a user of its own" in generate(["main:app"])[0]
    monkeypatch.setattr(unit, "_current_user", lambda: "ann")
    assert "give it a user of its own" not in generate(["main:app"])[0]


@pytest.mark.parametrize(("version", "kind"), [(0, "notify"), (252, "notify"), (253, "notify-reload")])
def test_the_type_is_one_that_this_systemd_knows(monkeypatch: pytest.MonkeyPatch, version: int, kind: str) -> None:
    monkeypatch.setattr(unit, "systemd_version", lambda: version)
    found = made("main:app")
    assert found["Type"] == kind
    assert ("ExecReload" in found) is (kind == "notify")


def test_what_the_settings_write_to_stays_writable(place: Path) -> None:
    words = ("--access-logfile", "logs/access", "--bind", "unix:/run/shop/s", "--error-logfile", "-", "main:app")
    assert made(*words)["ReadWritePaths"] == f'/run/shop "{place}/logs"'
    assert "ReadWritePaths" not in made("--access-logfile", "/dev/stdout", "main:app")


def test_a_low_port_brings_its_capability_and_no_other() -> None:
    assert made("--bind", ":80", "main:app")["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"
    found = made("--bind", ":8000", "main:app")
    assert "AmbientCapabilities" not in found and found["CapabilityBoundingSet"] == ""


def test_the_socket_unit_opens_the_addresses(place: Path) -> None:
    text = generate(["--socket", "-b", ":80,[::]:80,localhost:81", "-b", "unix:s", "-b", "unix:@a", "main:app"])[0]
    streams = [line.split("=")[1] for line in text.splitlines() if line.startswith("ListenStream=")]
    assert streams == ["0.0.0.0:80", "[::]:80", "127.0.0.1:81", f"{place}/s", "@a"]
    found = made("--socket", "--uds", "/run/s", "--uds-permissions", "640", "--uds-owner", "a:b", "main:app")
    assert (found["SocketMode"], found["SocketUser"], found["SocketGroup"]) == ("0640", "a", "b")


@pytest.mark.parametrize("bind", ["fd://3", "example.org:80"])
def test_what_systemd_cannot_open_is_refused(bind: str) -> None:
    with pytest.raises(ConflictingSettings, match="systemd"):
        generate(["--socket", "--bind", bind, "main:app"])


def test_wrong_options_are_refused_as_at_a_start() -> None:
    with pytest.raises(ConflictingSettings, match="daemon"):
        generate(["--daemon", "main:app"])
    with pytest.raises(ConfigError, match="APP is missing"):
        generate(["--workers", "2"])
    with pytest.raises(ArbiterError, match="workers"):
        generate(["--workers", "many", "main:app"])


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("plain", "plain"),
        ("", '""'),
        ("a b", '"a b"'),
        ('a"b', '"a\\"b"'),
        ("50%", "50%%"),
        ("$x", "$$x"),
        ("\\", "\\\\"),
    ],
)
def test_words_are_quoted_as_systemd_reads_them(word: str, text: str) -> None:
    assert quoted(word) == text


def test_the_version_is_asked_of_systemctl(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(place)
    tool = place / "systemctl"
    tool.write_text("#!/bin/sh\necho 'systemd 255 (255.4-1)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/bin")
    assert unit.systemd_version() == 255
    monkeypatch.setenv("PATH", str(place / "nowhere"))
    assert unit.systemd_version() == 0


@pytest.mark.parametrize("name", ["asgi-arbiter.service", "asgi-arbiter@.service"])
def test_the_files_beside_the_manual_take_away_as_much(name: str) -> None:
    assert set(unit._FIXED) <= set((SYSTEMD / name).read_text().splitlines())
