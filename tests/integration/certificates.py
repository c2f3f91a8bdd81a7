"""Certificates for tests of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

__all__ = ["Certificates"]


class Certificates:
    """A certificate authority of our own and files as the options want them."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        server = self.authority.issue_cert("localhost", "127.0.0.1")
        client = self.authority.issue_cert("client@example.org")
        self.ca, self.cert, self.key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
        self.client = folder / "client.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        for number, blob in enumerate(server.cert_chain_pems):
            blob.write_to_path(str(self.cert), append=number > 0)
        server.private_key_pem.write_to_path(str(self.key))
        client.private_key_and_cert_chain_pem.write_to_path(str(self.client))

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))
