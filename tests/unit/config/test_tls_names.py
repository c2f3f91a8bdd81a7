"""The folder of certificates for further names, and the choice among them."""

from __future__ import annotations

import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.config import InvalidSetting, tls_names
from asgi_arbiter.config.tls_names import choose_by_name, find_pairs


def lay_out(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()


def complaint(folder: Path) -> str:
    with pytest.raises(InvalidSetting) as caught:
        find_pairs(str(folder), "")
    return str(caught.value)


def test_each_layout_is_found(tmp_path: Path) -> None:
    lay_out(tmp_path, "README", ".hidden.pem", "notes.txt", "empty/cert.pem")  # passed over
    lay_out(tmp_path, "Certbot.Example/fullchain.pem", "Certbot.Example/privkey.pem")
    lay_out(
        tmp_path, "both.example.pem", "apart.example.pem", "apart.example.key", "two.example.crt", "two.example.key"
    )
    lay_out(tmp_path, "_.under.example.pem", "*.star.example/fullchain.pem", "xn--bcher-kva.example.pem")
    found = find_pairs(str(tmp_path), "secret")
    files = {name: (pair.certfile, pair.keyfile) for name, pair in found.items()}
    at = {name: str(tmp_path / name) for name in ("two.example.crt", "two.example.key", "both.example.pem")}
    assert files.pop("certbot.example") == tuple(
        str(tmp_path / "Certbot.Example" / name) for name in ("fullchain.pem", "privkey.pem")
    )
    assert files.pop("both.example") == (at["both.example.pem"], "")
    assert files.pop("two.example") == (at["two.example.crt"], at["two.example.key"])
    assert files.pop("apart.example")[1].endswith("apart.example.key")
    assert set(files) == {"*.under.example", "*.star.example", "xn--bcher-kva.example"}
    assert {(pair.password, pair.setting) for pair in found.values()} == {("secret", "ssl_sni_dir")}


def test_what_cannot_be_meant_is_named(tmp_path: Path) -> None:
    assert complaint(tmp_path / "nowhere").endswith("nowhere: No such file or directory")
    assert "holds no certificates; expected NAME/fullchain.pem" in complaint(tmp_path)
    lay_out(tmp_path, "a.example.key")
    assert complaint(tmp_path).endswith("a.example.key is a key without its certificate, a.example.crt")


@pytest.mark.parametrize(
    "name", ["a b.pem", "-a.pem", "a..b.pem", "*.pem", "*a.example.pem", "x.*.pem", "a" * 64 + ".pem"]
)
def test_a_name_that_no_client_can_ask_for_is_refused(tmp_path: Path, name: str) -> None:
    lay_out(tmp_path, name)
    assert complaint(tmp_path) == f"ssl_sni_dir: {tmp_path / name} is not named by a host name"


def test_names_are_written_in_ascii(tmp_path: Path) -> None:
    lay_out(tmp_path, "bücher.example.pem")
    assert complaint(tmp_path).endswith("is not named by a host name in its ASCII form (xn--...)")


def test_two_files_for_one_name_are_refused(tmp_path: Path) -> None:
    lay_out(tmp_path, "A.example.pem", "a.example/privkey.pem")
    assert complaint(tmp_path).endswith("are both for a.example")


def test_a_link_that_leads_nowhere_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.example").mkdir()
    (tmp_path / "a.example" / "fullchain.pem").symlink_to(tmp_path / "gone")
    assert "a.example" in find_pairs(str(tmp_path), "")


def test_the_folder_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_names, "MOST", 2)
    lay_out(tmp_path, "a.pem", "b.pem")
    assert len(find_pairs(str(tmp_path), "")) == 2
    lay_out(tmp_path, "c.pem")
    assert complaint(tmp_path).endswith("holds more than 2 certificates")


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("a.example", "exact"),
        ("A.Example", "exact"),
        ("b.example", "wildcard"),
        ("xn--a.b.example", None),
        ("example", None),
        (".example", "wildcard"),
        ("../../etc/passwd", None),
        ("a.example\0.evil", None),
        ("*.example", "wildcard"),
        ("", None),
        (None, None),
        ("x" * 60_000 + ".example", "wildcard"),
    ],
)
def test_the_exact_name_wins_then_the_wildcard(asked: str | None, chosen: str | None) -> None:
    contexts: Any = {"a.example": "exact", "*.example": "wildcard"}
    for has_default in (True, False):
        connection: Any = SimpleNamespace(context=None)
        answer = choose_by_name(contexts, has_default=has_default)(connection, asked, None)  # type: ignore[arg-type]
        assert connection.context == chosen
        assert answer == (None if chosen or has_default else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
