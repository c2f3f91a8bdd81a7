"""An ``ssl.SSLContext`` from the settings; each failure is one sentence with the setting and the file.

What is offered: TLS 1.2 and up, no compression, no renegotiation by the client, ``http/1.1`` by ALPN. The key is never
asked for on the terminal: a worker has none, and OpenSSL would wait for it.

``ssl`` is imported when it is needed, since most servers stand behind one that speaks TLS.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .errors import ArbiterError, ConflictingSettings, InvalidSetting

if TYPE_CHECKING:
    import ssl

    from .settings import Config

__all__ = ["server_context"]

_NONE: Final = 0
_NEGOTIATED: Final = (2, 17)
"""``PROTOCOL_TLS`` (gunicorn's default) and ``PROTOCOL_TLS_SERVER``: the best version that both sides know."""
_TLS_1_2: Final = 5
_VERSIONS: Final = {"tls": 2, "sslv23": 2, "tls_server": 17, "tlsv1": 3, "tlsv1_1": 4, "tlsv1_2": 5}


def server_context(config: Config) -> ssl.SSLContext | None:
    """The context for incoming connections, or None if TLS is not configured. Reads files; call it before privileges
    are dropped.

    Raises ``InvalidSetting`` or ``ConflictingSettings``; with ``traceback_text`` if the ``ssl_context`` hook failed.
    """
    if config.ssl_context:
        return _from_hook(config)
    if not config.certfile:
        for setting, flag in (("keyfile", config.keyfile), ("ca_certs", config.ca_certs)):
            if flag:
                raise ConflictingSettings(f"{setting}: TLS needs a certificate as well, set certfile")
        return None
    return _build(config)


def _build(config: Config) -> ssl.SSLContext:
    import ssl

    if not config.certfile:
        raise InvalidSetting("certfile: the ssl_context hook asked for the default context, which needs a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _set_version(context, config.ssl_version)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load_certificate(context, config)
    _load_authorities(context, config)
    if config.ciphers:
        try:
            context.set_ciphers(config.ciphers)
        except ssl.SSLError:
            raise InvalidSetting(f"ciphers: OpenSSL knows no cipher in {config.ciphers!r}") from None
    return context


def _set_version(context: ssl.SSLContext, given: int | str) -> None:
    import ssl

    text = str(given).lower().removeprefix("protocol_").replace(".", "_")
    version = _VERSIONS.get(text, int(text) if text.isdecimal() else -1)
    if version == _TLS_1_2:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    elif version in (_VERSIONS["tlsv1"], _VERSIONS["tlsv1_1"]):
        raise InvalidSetting(
            f"ssl_version: found {given}, which is TLS 1.{version - 3}; expected 17 (TLS 1.2 and up) or 5 (TLS 1.2 alone)."
            " Versions before TLS 1.2 are broken and not offered"
        )
    elif version not in _NEGOTIATED:
        raise InvalidSetting(f"ssl_version: found {given}, expected 17 (TLS 1.2 and up) or 5 (TLS 1.2 alone)")


def _load_certificate(context: ssl.SSLContext, config: Config) -> None:
    import ssl

    certfile, keyfile = config.certfile, config.keyfile or config.certfile
    keyname = "keyfile" if config.keyfile else "certfile"
    if b"-----BEGIN CERTIFICATE-----" not in _read("certfile", certfile):
        raise InvalidSetting(f"certfile: {certfile} holds no certificate in PEM form")
    if b"PRIVATE KEY-----" not in _read(keyname, keyfile):
        raise InvalidSetting(f"{keyname}: {keyfile} holds no private key in PEM form{_no_key_hint(config)}")
    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        return config.keyfile_password

    try:
        context.load_cert_chain(certfile, config.keyfile or None, password)
    except (ssl.SSLError, ValueError) as problem:
        reason = getattr(problem, "reason", None) or "unreadable"
        raise InvalidSetting(_why_not(config, asked, keyname, keyfile, reason)) from None


def _no_key_hint(config: Config) -> str:
    return "" if config.keyfile else "; set keyfile"


def _why_not(config: Config, asked: bool, keyname: str, keyfile: str, reason: str) -> str:
    if reason == "KEY_VALUES_MISMATCH":
        return f"{keyname}: the key in {keyfile} does not belong to the certificate in {config.certfile}"
    if not _holds_certificates(config.certfile):
        return f"certfile: the certificate in {config.certfile} cannot be read"
    if asked and not config.keyfile_password:
        return f"{keyname}: the key in {keyfile} is encrypted; set keyfile_password"
    if asked:
        return f"keyfile_password: it does not open the key in {keyfile}"
    detail = reason.replace("_", " ").lower()
    if reason.startswith(("EE_", "CA_")):  # OpenSSL's security level
        return f"certfile: OpenSSL refuses the certificate in {config.certfile}: {detail}"
    return f"{keyname}: the key in {keyfile} cannot be read ({detail})"


def _holds_certificates(path: str) -> bool:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
    except (OSError, ValueError):
        return False
    return True


def _load_authorities(context: ssl.SSLContext, config: Config) -> None:
    import ssl

    if config.cert_reqs not in (0, 1, 2):
        raise InvalidSetting(f"cert_reqs: found {config.cert_reqs}, expected 0 (none), 1 (optional) or 2 (required)")
    if config.cert_reqs != _NONE and not config.ca_certs:
        raise ConflictingSettings("cert_reqs: client certificates cannot be checked without authorities, set ca_certs")
    context.verify_mode = ssl.VerifyMode(config.cert_reqs)
    if not config.ca_certs:
        return
    path = Path(config.ca_certs)
    if path.is_dir():
        context.load_verify_locations(capath=config.ca_certs)
        return
    _read("ca_certs", config.ca_certs)
    try:
        context.load_verify_locations(cafile=config.ca_certs)
    except (OSError, ValueError):
        raise InvalidSetting(f"ca_certs: {config.ca_certs} holds no certificates in PEM form") from None


def _read(setting: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as problem:
        raise InvalidSetting(f"{setting}: cannot read {path}: {problem.strerror}") from None


def _from_hook(config: Config) -> ssl.SSLContext:
    import ssl

    from .importer import import_object
    from .usertrace import user_traceback

    given: Any = config.ssl_context
    hook = given if callable(given) else import_object(given)  # a program may hand over the function itself
    try:
        context = hook(config, lambda: _build(config))
    except ArbiterError:  # from the default context
        raise
    except Exception as problem:
        raise InvalidSetting(
            f"ssl_context: {_name(given)} raised {type(problem).__name__}: {problem}",
            traceback_text=user_traceback(problem),
        ) from problem
    if not isinstance(context, ssl.SSLContext):
        raise InvalidSetting(
            f"ssl_context: {_name(given)} returned a {type(context).__name__}, expected an ssl.SSLContext"
        )
    return context


def _name(hook: Any) -> str:
    return str(getattr(hook, "__qualname__", hook))
