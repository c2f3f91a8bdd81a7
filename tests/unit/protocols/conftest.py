"""A TLS handshake in memory."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest
import trustme

AUTHORITY = trustme.CA()


@pytest.fixture(scope="session")
def handshake() -> Callable[..., tuple[ssl.SSLObject, ssl.SSLObject]]:
    """Both ends of a connection of that version; with ``client`` the client shows a certificate."""

    def shake(version: ssl.TLSVersion, client: trustme.LeafCert | None = None) -> tuple[ssl.SSLObject, ssl.SSLObject]:
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("localhost").configure_cert(ours)
        AUTHORITY.configure_trust(ours)
        ours.verify_mode = ssl.CERT_OPTIONAL
        ours.minimum_version = ours.maximum_version = version
        theirs = ssl.create_default_context()
        AUTHORITY.configure_trust(theirs)
        if client is not None:
            client.configure_cert(theirs)
        to_us, to_them = ssl.MemoryBIO(), ssl.MemoryBIO()
        ends = (
            ours.wrap_bio(to_us, to_them, server_side=True),
            theirs.wrap_bio(to_them, to_us, server_hostname="localhost"),
        )
        for _ in range(4):
            for end in ends:
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    pass
        return ends

    return shake
