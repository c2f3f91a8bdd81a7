"""The dates of certificates, compared with those that an X.509 library reads."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from asgi_arbiter.config.x509 import validity


def issued(begin: datetime, end: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, end)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("year", [1975, 1999, 2026, 2049, 2050, 2068, 2069, 9999])
def test_dates_of_either_form_are_read(year: int) -> None:
    begin, end = datetime(1970, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert validity(issued(begin, end)) == (begin, end)


def test_a_certificate_with_long_names_is_read() -> None:
    leaf = trustme.CA(organization_name="O" * 60).issue_cert(*(f"{number}.example" for number in range(99)))
    pem = leaf.cert_chain_pems[0].bytes()
    known = x509.load_pem_x509_certificate(pem)
    dates = validity(ssl.PEM_cert_to_DER_cert(pem.decode()))
    assert dates is not None
    assert dates == (known.not_valid_before_utc, known.not_valid_after_utc)


def test_whatever_else_it_is_none() -> None:
    good = issued(datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=1))
    assert validity(good) is not None
    assert all(validity(good[:length]) is None for length in range(120))
    assert validity(good.replace(b"\x17\x0d20", b"\x18\x0d20")) is None
    assert validity(good.replace(b"\x17\x0d20", b"\x17\x0dxx")) is None
