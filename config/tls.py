"""An ``ssl.SSLContext`` from the settings; each failure is one sentence with the setting and the file.

What is offered: TLS 1.2 and up, no compression, no renegotiation by the client, ``http/1.1`` by ALPN. ``tls_pair`` loads
a certificate with its key, ``tls_names`` finds those for further names (SNI).

The arbiter makes the context of a generation before its first worker (``prepared_context``) and the workers inherit it:
what was valid once is what every worker of the generation serves, whatever becomes of the files; only the arbiter needs
the right to read them; and since the workers share the keys of the session tickets, a client resumes its session with
whichever of them it meets. The ``ssl_context`` hook is called in the worker all the same, as gunicorn's is.

``ssl`` is imported when it is needed, since most servers stand behind one that speaks TLS.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .errors import ArbiterError, ConfigError, ConflictingSettings, InvalidSetting

if TYPE_CHECKING:
    import ssl

    from .settings import Config
    from .tls_pair import Pair

__all__ = ["hooked", "prepared_context", "server_context"]

log = logging.getLogger("asgi_arbiter.arbiter")

_NONE: Final = 0
_NEGOTIATED: Final = (2, 17)
"""``PROTOCOL_TLS`` (gunicorn's default) and ``PROTOCOL_TLS_SERVER``: the best version that both sides know."""
_TLS_1_2: Final = 5
_VERSIONS: Final = {"tls": 2, "sslv23": 2, "tls_server": 17, "tlsv1": 3, "tlsv1_1": 4, "tlsv1_2": 5}


def server_context(config: Config, prepared: ssl.SSLContext | None = None) -> ssl.SSLContext | None:
    """The context for incoming connections, or None if TLS is not configured. ``prepared`` is what ``prepared_context``
    made of the same settings. Without it files are read; call it before privileges are dropped.

    Raises ``InvalidSetting`` or ``ConflictingSettings``; with ``traceback_text`` if the ``ssl_context`` hook failed.
    """
    if config.ssl_context:
        return _from_hook(config, prepared)
    if prepared is not None:
        return prepared
    if not config.speaks_tls:
        for setting, flag in (("keyfile", config.keyfile), ("ca_certs", config.ca_certs)):
            if flag:
                raise ConflictingSettings(f"{setting}: TLS needs a certificate as well, set certfile")
        return None
    return _build(config)


def prepared_context(config: Config) -> ssl.SSLContext | None:
    """What the workers of a generation may inherit; None where there is no TLS, or none but the hook's own.

    Raises ``InvalidSetting`` or ``ConflictingSettings``.
    """
    if not config.ssl_context:
        return server_context(config)
    if not (config.certfile or config.ssl_sni_dir):
        return None
    try:
        return _build(config)
    except ConfigError:  # it matters only if the hook asks for it, and is told then
        return None


def _build(config: Config) -> ssl.SSLContext:
    from .tls_pair import Pair

    if not (config.certfile or config.ssl_sni_dir):
        raise InvalidSetting("certfile: the ssl_context hook asked for the default context, which needs a certificate")
    first = Pair(config.certfile, config.keyfile, config.keyfile_password) if config.certfile else None
    if first is None and config.keyfile:
        raise ConflictingSettings("keyfile: a private key without a certificate, set certfile")
    context = _context(config, first)
    if config.ssl_sni_dir:
        from .tls_names import choose_by_name, find_pairs

        pairs = find_pairs(config.ssl_sni_dir, config.keyfile_password)
        contexts = {name: _context(config, pair) for name, pair in pairs.items()}
        context.sni_callback = choose_by_name(contexts, has_default=first is not None)
    return context


def _context(config: Config, pair: Pair | None) -> ssl.SSLContext:
    """One context. OpenSSL takes certificates, authorities and ALPN from the one that was chosen by name and the rest
    from the first; so all are made alike."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_version(context, config)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if pair is not None:
        from .tls_pair import load_pair, remark_on_dates

        load_pair(context, pair)
        if remark := remark_on_dates(context, pair):
            log.warning(remark, extra={"event": "certificate_dates"})
    _load_authorities(context, config)
    if config.ciphers:
        try:
            context.set_ciphers(config.ciphers)
        except ssl.SSLError:
            raise InvalidSetting(f"ciphers: OpenSSL knows no cipher in {config.ciphers!r}") from None
    return context


def _set_version(context: ssl.SSLContext, config: Config) -> None:
    import ssl

    given: int | str = config.ssl_version
    text = str(given).lower().removeprefix("protocol_").replace(".", "_")
    version = _VERSIONS.get(text, int(text) if text.isdecimal() else -1)
    if version in (_VERSIONS["tlsv1"], _VERSIONS["tlsv1_1"]):
        raise InvalidSetting(
            f"ssl_version: found {given}, which is TLS 1.{version - 3}; expected 17 (TLS 1.2 and up) or 5 (TLS 1.2 alone)."
            " Versions before TLS 1.2 are broken and not offered"
        )
    if version not in (*_NEGOTIATED, _TLS_1_2):
        raise InvalidSetting(f"ssl_version: found {given}, expected 17 (TLS 1.2 and up) or 5 (TLS 1.2 alone)")
    least = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}.get(config.ssl_min_version)
    if least is None:
        raise InvalidSetting(f"ssl_min_version: found {config.ssl_min_version!r}, expected 1.2 or 1.3")
    context.minimum_version = least
    if version == _TLS_1_2:
        if least is not ssl.TLSVersion.TLSv1_2:
            raise ConflictingSettings(
                "ssl_min_version: 1.3 at least, and ssl_version 5, TLS 1.2 alone: nothing is left"
            )
        context.maximum_version = ssl.TLSVersion.TLSv1_2


def _load_authorities(context: ssl.SSLContext, config: Config) -> None:
    import ssl

    if config.cert_reqs not in (0, 1, 2):
        raise InvalidSetting(f"cert_reqs: found {config.cert_reqs}, expected 0 (none), 1 (optional) or 2 (required)")
    if config.cert_reqs != _NONE and not config.ca_certs:
        raise ConflictingSettings("cert_reqs: client certificates cannot be checked without authorities, set ca_certs")
    context.verify_mode = ssl.VerifyMode(config.cert_reqs)
    if config.ssl_crl:
        _load(context, "ssl_crl", config.ssl_crl, b"-----BEGIN X509 CRL-----", "revocation list")
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    if config.ca_certs and Path(config.ca_certs).is_dir():
        context.load_verify_locations(capath=config.ca_certs)
    elif config.ca_certs:
        _load(context, "ca_certs", config.ca_certs, b"-----BEGIN ", "certificates")


def _load(context: ssl.SSLContext, setting: str, path: str, begin: bytes, what: str) -> None:
    from .tls_pair import read_file

    text = read_file(setting, path)
    try:
        context.load_verify_locations(cafile=path if begin in text else None)
    except (OSError, ValueError, TypeError):
        raise InvalidSetting(f"{setting}: {path} holds no {what} in PEM form") from None


def _from_hook(config: Config, prepared: ssl.SSLContext | None) -> ssl.SSLContext:
    from .importer import import_object
    from .usertrace import user_traceback

    given: Any = config.ssl_context
    hook = given if callable(given) else import_object(given)  # a program may hand over the function itself
    ready = [prepared] if prepared is not None else []

    def default() -> ssl.SSLContext:
        """A context of its own for each call; the first is this process's copy of what the arbiter has checked."""
        return ready.pop() if ready else _build(config)

    try:
        context = hook(config, default)
    except ArbiterError:  # from the default context
        raise
    except Exception as problem:
        raise InvalidSetting(
            f"ssl_context: {_name(given)} raised {type(problem).__name__}: {problem}",
            traceback_text=user_traceback(problem),
        ) from problem
    return hooked(context, _name(given))


def hooked(context: Any, name: str) -> ssl.SSLContext:
    """What the hook ``name`` has returned, if that is a context. Raises ``InvalidSetting``."""
    import ssl

    from .tls_pair import forget_certificate

    if not isinstance(context, ssl.SSLContext):
        raise InvalidSetting(f"ssl_context: {name} returned a {type(context).__name__}, expected an ssl.SSLContext")
    forget_certificate(context)
    return context


def _name(hook: Any) -> str:
    return str(getattr(hook, "__qualname__", hook))
