"""A certificate and its key, from the disk into an ``SSLContext``; each failure is one sentence with setting and file.

A pair counts only as a whole: OpenSSL reads both, compares them, and whatever is wrong is told of the file that it is
wrong with. The key is never asked for on the terminal: a server has none, and OpenSSL would wait for it.

The certificate that a context presents is remembered beside it (``certificate_of``), since a context does not tell, and
the file may hold the next one already.
"""

from __future__ import annotations

import ssl
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from .errors import InvalidSetting
from .records import Record
from .x509 import validity

__all__ = ["Pair", "certificate_of", "forget_certificate", "load_pair", "read_file", "remark_on_dates"]

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"
_LEAST_DASHES: Final = 5
_own: weakref.WeakKeyDictionary[ssl.SSLContext, str] = weakref.WeakKeyDictionary()


class Pair(Record):
    """Where a certificate and its key are, and by which settings the operator knows them."""

    certfile: str
    keyfile: str = ""
    """Empty: in the same file."""
    password: str = ""
    setting: str = "certfile"
    key_setting: str = "keyfile"

    @property
    def key_name(self) -> str:
        """The setting to which a complaint about the key belongs."""
        return self.key_setting if self.keyfile else self.setting

    @property
    def key_path(self) -> str:
        """The file in which the key is."""
        return self.keyfile or self.certfile


def load_pair(context: ssl.SSLContext, pair: Pair) -> None:
    """Let ``context`` present the certificate. Raises ``InvalidSetting``; what it presented before is then undefined, so
    a context that serves must not be given another pair but be replaced."""
    text = read_file(pair.setting, pair.certfile)
    if _BEGIN.encode() not in text:
        raise InvalidSetting(f"{pair.setting}: {pair.certfile} holds no certificate in PEM form")
    if b"PRIVATE KEY-----" not in read_file(pair.key_name, pair.key_path):
        hint = "" if pair.keyfile else f"; set {pair.key_setting}"
        hint = hint if pair.setting == "certfile" else ""
        raise InvalidSetting(f"{pair.key_name}: {pair.key_path} holds no private key in PEM form{hint}")
    if _is_cut_off(text):
        raise InvalidSetting(f"{pair.setting}: {pair.certfile} ends within a certificate; was it only half written?")
    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        return pair.password

    try:
        context.load_cert_chain(pair.certfile, pair.keyfile or None, password)
    except (OSError, ValueError) as problem:  # includes ssl.SSLError
        reason = getattr(problem, "reason", None) or "unreadable"
        raise InvalidSetting(_why_not(pair, asked, reason)) from None
    _own[context] = _first(text.decode("latin-1"))


def certificate_of(context: ssl.SSLContext) -> str | None:
    """The certificate, in PEM, that ``context`` presents, without those that follow it; None if it is not ours."""
    return _own.get(context)


def forget_certificate(context: ssl.SSLContext) -> None:
    """Somebody else has had the context and may have loaded others."""
    _own.pop(context, None)


def remark_on_dates(context: ssl.SSLContext, pair: Pair, now: datetime | None = None) -> str:
    """A sentence on a certificate that clients will not accept today, or nothing. It is served all the same: a server
    that refuses to start would help nobody, and clients on a machine with a wrong clock least of all."""
    pem = certificate_of(context)
    dates = validity(ssl.PEM_cert_to_DER_cert(pem)) if pem else None
    if dates is None:
        return ""
    begin, end = dates
    now = now or datetime.now(UTC)
    if now > end:
        return f"{pair.setting}: the certificate in {pair.certfile} expired on {end:%Y-%m-%d %H:%M} UTC"
    if now < begin:
        return f"{pair.setting}: the certificate in {pair.certfile} is not valid before {begin:%Y-%m-%d %H:%M} UTC"
    return ""


def read_file(setting: str, path: str) -> bytes:
    """The content of a file. Raises ``InvalidSetting``."""
    try:
        return Path(path).read_bytes()
    except OSError as problem:
        raise InvalidSetting(f"{setting}: cannot read {path}: {problem.strerror}") from None


def _first(text: str) -> str:
    start = text.find(_BEGIN)
    return text[start : text.find(_END, start) + len(_END)] + "\n"


def _is_cut_off(text: bytes) -> bool:
    """A chain whose writer has got as far as the first line of the next certificate: OpenSSL would not see that line. A
    cut anywhere else is a certificate without an end, which OpenSSL refuses by itself."""
    last = text.rsplit(b"\n", 1)[-1]
    return len(last) >= _LEAST_DASHES and last != _END.encode() and _BEGIN.encode().startswith(last)


def _why_not(pair: Pair, asked: bool, reason: str) -> str:
    if reason == "KEY_VALUES_MISMATCH":
        return f"{pair.key_name}: the key in {pair.key_path} does not belong to the certificate in {pair.certfile}"
    if not _holds_certificates(pair.certfile):
        return f"{pair.setting}: the certificate in {pair.certfile} cannot be read"
    if asked and not pair.password:
        return f"{pair.key_name}: the key in {pair.key_path} is encrypted; set keyfile_password"
    if asked:
        return f"keyfile_password: it does not open the key in {pair.key_path}"
    detail = reason.replace("_", " ").lower()
    if reason.startswith(("EE_", "CA_")):  # OpenSSL's security level
        return f"{pair.setting}: OpenSSL refuses the certificate in {pair.certfile}: {detail}"
    return f"{pair.key_name}: the key in {pair.key_path} cannot be read ({detail})"


def _holds_certificates(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except (OSError, ValueError):
        return False
    return True
