"""Certificates by the name that the client asks for (SNI, RFC 6066 section 3): the folder of ``ssl_sni_dir``.

Three layouts, as they are found on servers; they may be mixed::

    DIR/example.org/fullchain.pem + privkey.pem      certbot's /etc/letsencrypt/live as it is
    DIR/example.org.pem                              certificate and key in one file, or with example.org.key
    DIR/example.org.crt + example.org.key

``*.example.org`` and ``_.example.org`` stand for all names with exactly one label more (RFC 9525 section 6.3). The exact
name wins, then the wildcard, then the certificate of ``certfile``; without that, a client that asks for another name or
for none is refused with the alert ``unrecognized_name``.

Rules: everything is read when the settings are, and every pair is checked; what a client sends is looked up in a
dictionary and never becomes part of a path. Hidden files, other endings, and folders without either file are passed over;
whatever else cannot be used is an error that names the file, since a typing error would otherwise serve the wrong
certificate in silence.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from .errors import InvalidSetting
from .tls_pair import Pair

__all__ = ["MOST", "choose_by_name", "find_pairs"]

SETTING: Final = "ssl_sni_dir"
MOST: Final = 4096
"""Names in the folder. Each takes some 30 KB and 2 to 3 ms; far more where ``ca_certs`` is a whole bundle."""
_CHAIN, _KEY = "fullchain.pem", "privkey.pem"
_LABEL: Final = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)([*_]\.)?{_LABEL}(\.{_LABEL})*")

Choose = Callable[[ssl.SSLObject, str | None, ssl.SSLContext], int | None]


def find_pairs(folder: str, password: str) -> dict[str, Pair]:
    """The pairs in the folder by their names, in lower case, wildcards as ``*.example.org``.

    Raises:
        InvalidSetting: the folder cannot be read, holds nothing, or a file in it cannot be meant.
    """
    found: dict[str, Pair] = {}
    for name, pair in _entries(Path(folder), password):
        known = found.setdefault(name, pair)
        if known is not pair:
            raise InvalidSetting(f"{SETTING}: {known.certfile} and {pair.certfile} are both for {name}")
        if len(found) > MOST:
            raise InvalidSetting(f"{SETTING}: {folder} holds more than {MOST} certificates")
    if not found:
        raise InvalidSetting(
            f"{SETTING}: {folder} holds no certificates; expected NAME/{_CHAIN} with NAME/{_KEY}, NAME.pem, or NAME.crt"
            " with NAME.key"
        )
    return found


def _entries(folder: Path, password: str) -> Iterator[tuple[str, Pair]]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as problem:
        raise InvalidSetting(f"{SETTING}: cannot read {folder}: {problem.strerror}") from None
    for entry in entries:
        if entry.name.startswith("."):
            continue
        pair = _in_folder(entry) if entry.is_dir() else _in_file(entry)
        if pair is not None:
            name = entry.name if entry.is_dir() else entry.stem
            certfile, keyfile = pair
            yield _checked(name, entry), Pair(certfile, keyfile, password, SETTING, SETTING)


def _in_folder(entry: Path) -> tuple[str, str] | None:
    chain, key = entry / _CHAIN, entry / _KEY
    if not (_is_there(chain) or _is_there(key)):
        return None
    return str(chain), str(key)


def _in_file(entry: Path) -> tuple[str, str] | None:
    key = entry.with_name(f"{entry.stem}.key")
    match entry.suffix.lower():
        case ".pem":
            return str(entry), str(key) if _is_there(key) else ""
        case ".crt":
            return str(entry), str(key)
        case ".key" if not any(_is_there(entry.with_name(entry.stem + ending)) for ending in (".crt", ".pem")):
            raise InvalidSetting(f"{SETTING}: {entry} is a key without its certificate, {entry.stem}.crt")
    return None


def _is_there(path: Path) -> bool:
    """Also a link that leads nowhere: whoever made it meant something."""
    return path.is_symlink() or path.exists()


def _checked(name: str, entry: Path) -> str:
    lower = name.lower().removesuffix(".")
    if _NAME.fullmatch(lower):
        return f"*{lower[1:]}" if lower.startswith("_.") else lower
    if not name.isascii():
        raise InvalidSetting(f"{SETTING}: {entry} is not named by a host name in its ASCII form (xn--...)")
    raise InvalidSetting(f"{SETTING}: {entry} is not named by a host name")


def choose_by_name(contexts: Mapping[str, ssl.SSLContext], *, has_default: bool) -> Choose:
    """What ``SSLContext.sni_callback`` is to be: it puts the context for the client's name in place of the first."""

    def choose(connection: ssl.SSLObject, name: str | None, _first: ssl.SSLContext) -> int | None:
        lower = (name or "").lower()
        context = contexts.get(lower) or contexts.get(f"*.{lower.partition('.')[2]}")
        if context is not None:
            connection.context = context
        elif not has_default:
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        return None

    return choose
