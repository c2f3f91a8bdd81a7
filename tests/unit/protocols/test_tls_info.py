"""The extension ``tls``, made from handshakes in memory."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

from asgi_arbiter.config.tls_pair import Pair, forget_certificate, load_pair
from asgi_arbiter.protocols.tls_info import _name, describe_tls
from tests.unit.protocols.conftest import AUTHORITY


@pytest.mark.parametrize(("version", "number"), [(ssl.TLSVersion.TLSv1_2, 0x0303), (ssl.TLSVersion.TLSv1_3, 0x0304)])
def test_version_and_cipher_are_the_registrys_numbers(handshake: Any, version: ssl.TLSVersion, number: int) -> None:
    server, _ = handshake(version)
    told = describe_tls(server)
    assert told["tls_version"] == number
    assert told["cipher_suite"] in ({0x1301, 0x1302, 0x1303} if number == 0x0304 else range(0xC000, 0xCCB0))
    assert (told["client_cert_chain"], told["client_cert_name"], told["client_cert_error"]) == ((), None, None)


def test_a_client_certificate_is_shown_with_its_name(handshake: Any) -> None:
    leaf = AUTHORITY.issue_cert("me@example.org", common_name="me")
    told = describe_tls(handshake(ssl.TLSVersion.TLSv1_3, leaf)[0])
    own = leaf.cert_chain_pems[0].bytes().decode()
    assert ssl.PEM_cert_to_DER_cert(told["client_cert_chain"][0]) == ssl.PEM_cert_to_DER_cert(own)
    assert told["client_cert_name"].startswith("CN=me,")


def test_the_servers_certificate_is_the_first_of_the_pair_that_it_loaded(handshake: Any, tmp_path: Path) -> None:
    leaf, file, key = AUTHORITY.issue_cert("a"), tmp_path / "cert.pem", tmp_path / "key.pem"
    pem = leaf.cert_chain_pems[0].bytes().decode()
    file.write_text("a comment\n" + pem * 2)
    leaf.private_key_pem.write_to_path(str(key))
    server, _ = handshake(ssl.TLSVersion.TLSv1_3)
    assert describe_tls(server)["server_cert"] is None
    load_pair(server.context, Pair(str(file), str(key)))
    file.unlink()
    assert describe_tls(server)["server_cert"].strip() == pem.strip()
    forget_certificate(server.context)
    assert describe_tls(server)["server_cert"] is None


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ((), None),
        (((("countryName", "DE"),), (("commonName", "a"),)), "CN=a,C=DE"),
        (((("organizationName", "A, B+C"),),), r"O=A\, B\+C"),
        (((("organizationName", " #a "),),), "O=\\ #a\\ "),
        (((("organizationName", "#a"),),), r"O=\#a"),
        (((("commonName", "a"), ("userId", "b")),), "CN=a+UID=b"),
        (((("commonName", "a\0b"),),), "CN=a\\00b"),
        (((("serialNumber", "1"),),), "serialNumber=1"),
    ],
)
def test_a_name_is_written_as_rfc_4514_says(subject: Any, name: str | None) -> None:
    assert _name(subject) == name
