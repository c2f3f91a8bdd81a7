"""A certificate with its key, as it comes from the disk at the worst moment. What else can be wrong: ``test_tls``."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from asgi_arbiter.config import InvalidSetting
from asgi_arbiter.config.tls_pair import Pair, certificate_of, forget_certificate, load_pair, remark_on_dates

AUTHORITY = trustme.CA()


def context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    leaf = AUTHORITY.issue_cert("localhost", not_before=datetime(2026, 1, 1), not_after=datetime(2026, 3, 1))
    (tmp_path / "cert.pem").write_bytes(leaf.cert_chain_pems[0].bytes() + AUTHORITY.cert_pem.bytes())
    (tmp_path / "key.pem").write_bytes(leaf.private_key_pem.bytes())
    return Pair(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem"))


def test_the_leaf_is_remembered_with_the_context_and_not_with_the_file(pair: Pair) -> None:
    one = context()
    load_pair(one, pair)
    leaf = Path(pair.certfile).read_text().partition("-----END")[0].strip()
    Path(pair.certfile).unlink()
    told = certificate_of(one)
    assert told is not None
    assert told.startswith(leaf)
    assert told.endswith("-----END CERTIFICATE-----\n")
    assert told.count("BEGIN") == 1
    assert certificate_of(context()) is None
    forget_certificate(one)
    assert certificate_of(one) is None


def test_a_chain_that_is_cut_off_anywhere_is_refused_or_whole(pair: Pair) -> None:
    """A writer that does not rename leaves any prefix of the file to be read: each is refused, or ends where a certificate
    ends (which nobody can tell from a chain that was meant to be so)."""
    path = Path(pair.certfile)
    whole = path.read_bytes()
    ends = {at for at in range(len(whole) + 1) if whole[:at].rstrip(b"\n").endswith(b"-----END CERTIFICATE-----")}
    first = min(ends)
    undetected = set()
    for cut in sorted({*range(0, len(whole), 37), *range(first - 30, first + 60), *range(len(whole) - 40, len(whole))}):
        path.write_bytes(whole[:cut])
        try:
            load_pair(context(), pair)
        except InvalidSetting as error:
            assert str(error).startswith("certfile: "), error
            assert pair.certfile in str(error)
        else:
            undetected.add(cut)
    # Up to four dashes after a certificate pass for a comment; the line of dashes is never longer than that.
    assert undetected <= ends | {at + more for at in ends for more in range(5)}


def test_a_key_that_is_cut_off_is_refused(pair: Pair) -> None:
    path = Path(pair.keyfile)
    whole = path.read_bytes()
    for cut in range(0, len(whole) - 3, 61):
        path.write_bytes(whole[:cut])
        with pytest.raises(InvalidSetting, match=r"^keyfile: .*key\.pem"):
            load_pair(context(), pair)


def test_complaints_name_the_setting_that_the_pair_has(pair: Pair) -> None:
    other = Pair(pair.certfile, "", setting="ssl_sni_dir", key_setting="ssl_sni_dir")
    with pytest.raises(InvalidSetting, match=r"^ssl_sni_dir: .*cert\.pem holds no private key in PEM form$"):
        load_pair(context(), other)


@pytest.mark.parametrize(
    ("now", "remark"),
    [
        (datetime(2025, 12, 31, tzinfo=UTC), "is not valid before 2026-01-01 00:00 UTC"),
        (datetime(2026, 2, 1, tzinfo=UTC), ""),
        (datetime(2026, 3, 2, tzinfo=UTC), "expired on 2026-03-01 00:00 UTC"),
    ],
)
def test_a_certificate_out_of_date_is_remarked_on(pair: Pair, now: datetime, remark: str) -> None:
    one = context()
    load_pair(one, pair)
    text = f"certfile: the certificate in {pair.certfile} {remark}" if remark else ""
    assert remark_on_dates(one, pair, now) == text


def test_nothing_is_said_of_a_certificate_that_is_not_ours(pair: Pair) -> None:
    assert remark_on_dates(context(), pair) == ""
