"""The ASGI extension ``tls`` (TLS Extension 0.2): what the handshake has agreed upon, as an application may ask for it.

Made once per connection, after its handshake, and shared by the scopes of its requests. What Python does not tell is
left empty: the certificates behind the client's own before Python 3.13, and the server's own certificate where the
context comes from a hook, which may have several.
"""

from __future__ import annotations

import ssl
import weakref
from typing import Any, Final

from asgi_arbiter.config.tls_pair import certificate_of

__all__ = ["describe_tls"]

_VERSIONS: Final = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_ATTRIBUTES: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
"""RFC 4514 section 3; other attributes keep the name that OpenSSL has for them."""
_suites: weakref.WeakKeyDictionary[ssl.SSLContext, dict[str, int]] = weakref.WeakKeyDictionary()


def describe_tls(tls: ssl.SSLObject) -> dict[str, Any]:
    """The value of ``scope["extensions"]["tls"]``."""
    chain = _chain(tls)
    cipher = tls.cipher()
    return {
        "server_cert": certificate_of(tls.context),
        "client_cert_chain": chain,
        "client_cert_name": _name((tls.getpeercert() or {}).get("subject", ())) if chain else None,
        # A certificate that cannot be verified ends the handshake, so whoever comes this far has none or a good one.
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(tls.version() or ""),
        "cipher_suite": _suite(tls.context, cipher[0]) if cipher else None,
    }


def _chain(tls: ssl.SSLObject) -> tuple[str, ...]:
    """The client's certificate and, where Python tells them, those that it sent with it."""
    own = tls.getpeercert(binary_form=True)
    if not own:
        return ()
    given = tls.get_unverified_chain() if hasattr(tls, "get_unverified_chain") else [own]
    return tuple(ssl.DER_cert_to_PEM_cert(each) for each in given)


def _suite(context: ssl.SSLContext, name: str) -> int | None:
    """The number that IANA has given to a cipher suite."""
    known = _suites.get(context)
    if known is None:
        # OpenSSL's numbers have the protocol version above the 16 bits of the registry.
        known = _suites[context] = {each["name"]: each["id"] & 0xFFFF for each in context.get_ciphers()}
    return known.get(name)


def _name(subject: Any) -> str | None:
    """A distinguished name as RFC 4514 writes it: the most specific part first."""
    parts = (
        "+".join(f"{_ATTRIBUTES.get(kind, kind)}={_escaped(value)}" for kind, value in group)
        for group in reversed(subject)
    )
    return ",".join(parts) or None


def _escaped(value: str) -> str:
    """RFC 4514 section 2.4."""
    text = "".join("\\" + each if each in '"+,;<>\\' else "\\00" if each == "\0" else each for each in value)
    if text.endswith(" ") and not text.endswith("\\ "):
        text = text[:-1] + "\\ "
    return "\\" + text if text.startswith((" ", "#")) else text
