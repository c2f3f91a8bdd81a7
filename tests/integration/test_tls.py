"""TLS as an operator and a client meet it: certificates replaced under load, broken pairs, names, client certificates,
versions, encrypted keys, sessions, and whatever speaks something else."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from asgi_arbiter import Config, Server
from asgi_arbiter.config import ConfigError
from tests.load import Load

from .server_process import PATIENCE, ServerProcess, eventually, run
from .wire import Wire

Serve = Callable[..., ServerProcess]
ANY_PORT = ("--bind", "127.0.0.1:0")
JSON = ("--log-format", "json")
QUICK = ("--settle-time", "0.1", "--drain-linger", "1")
ENGINES = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])


class Pki:
    """An authority and the files of a server, which may be replaced as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca, self.cert, self.key = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.files = ("--certfile", str(self.cert), "--keyfile", str(self.key))

    def issue(self, *names: str, **more: Any) -> trustme.LeafCert:
        return self.authority.issue_cert(*(names or ("localhost", "127.0.0.1")), **more)

    def install(self, leaf: trustme.LeafCert | None = None) -> int:
        """Put a pair where the server looks for it, each file at once; the serial number of the certificate."""
        leaf = leaf or self.issue()
        put(self.cert, leaf.cert_chain_pems[0].bytes())
        put(self.key, leaf.private_key_pem.bytes())
        return serial(leaf)

    def context(self, client: trustme.LeafCert | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca))
        if client is not None:
            client.configure_cert(context)
        return context

    def connect(self, server: ServerProcess, name: str | None = "localhost", **more: Any) -> ssl.SSLSocket:
        """A connection of a client that does not check names, since that is what the tests do."""
        context = more.pop("context", None) or self.context()
        context.check_hostname = False
        sock = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        return context.wrap_socket(sock, server_hostname=name, **more)

    def served(self, server: ServerProcess, name: str | None = "localhost") -> int:
        """The serial number of the certificate that a new connection gets."""
        with self.connect(server, name) as sock:
            der = sock.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).serial_number


def serial(leaf: trustme.LeafCert) -> int:
    return x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes()).serial_number


def put(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}")
    fresh.write_bytes(content)
    fresh.rename(path)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    made = Pki(tmp_path)
    made.install()
    return made


# Replacing certificates


@pytest.mark.parametrize(
    "how", [("-w", "2"), ("-w", "1"), ("-w", "2", "--preload"), ("-w", "2", "--loop", "asyncio")], ids=" ".join
)
def test_certificates_are_replaced_under_load_without_a_lost_request(
    serve: Serve, pki: Pki, how: tuple[str, ...]
) -> None:
    server = serve("plain:app", *ANY_PORT, *how, *pki.files, *JSON, *QUICK)
    for turn in (1, 2):
        with Load(server.port, tls=pki.context()) as load:
            expected = pki.install()
            assert pki.served(server) != expected
            server.signal(signal.SIGHUP)
            server.wait_event("reload_promoted", count=turn)
            server.wait_event("worker_exited", count=turn * int(how[1]))
            assert pki.served(server) == expected
            load.wait_more()
        print(f"{load.answered} requests, {len(load.failures)} failures, {how}")


def broken_mismatch(pki: Pki) -> str:
    put(pki.key, pki.issue().private_key_pem.bytes())
    return f"keyfile: the key in {pki.key} does not belong to the certificate in {pki.cert}"


def broken_half_written(pki: Pki) -> str:
    whole = pki.cert.read_bytes()
    pki.cert.write_bytes(whole[: len(whole) // 2])
    return f"certfile: the certificate in {pki.cert} cannot be read"


def broken_missing(pki: Pki) -> str:
    pki.key.unlink()
    return f"keyfile: cannot read {pki.key}: No such file or directory"


@pytest.mark.parametrize(
    "breaks", [broken_mismatch, broken_half_written, broken_missing], ids=lambda each: each.__name__
)
@pytest.mark.parametrize("how", [(), ("--preload",)], ids=["", "preload"])
def test_a_broken_pair_rejects_the_reload_and_the_old_one_serves_on(
    serve: Serve, pki: Pki, breaks: Callable[[Pki], str], how: tuple[str, ...]
) -> None:
    server = serve("plain:app", *ANY_PORT, "-w", "2", *how, *pki.files, *JSON, *QUICK)
    before, workers = pki.served(server), set(both(server, pki))
    complaint = breaks(pki)
    with Load(server.port, tls=pki.context()) as load:
        server.signal(signal.SIGHUP)
        rejected = server.wait_event("reload_rejected")
        assert rejected["reason"] == complaint
        assert "\n" not in rejected["message"]
        server.wait_notified_like(r"STATUS=.*certfile.*|STATUS=.*keyfile.*")
        load.wait_more()
        assert set(map(int, load.answers)) <= workers
    # A worker that dies now is replaced, by one that serves what its generation was started with.
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    both(server, pki, without=workers)
    assert pki.served(server) == before
    expected = pki.install()
    server.signal(signal.SIGHUP)
    server.wait_event("reload_promoted")
    eventually(lambda: pki.served(server) == expected, "the new certificate")


def both(server: ServerProcess, pki: Pki, *, without: Collection[int] = ()) -> list[int]:
    """Two workers that answer, none of them in ``without``."""
    found: set[int] = set()

    def are_found() -> bool:
        found.update(map(int, pids(server, pki)))
        return len(found.difference(without)) == 2

    eventually(are_found, "both workers answer")
    return list(found.difference(without))


def pids(server: ServerProcess, pki: Pki) -> set[bytes]:
    """The workers that answer at this moment."""
    found = set()
    for _ in range(20):
        with contextlib.suppress(OSError), Wire(pki.connect(server)) as wire:
            found.add(wire.get("/").body)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its identity")
@pytest.mark.parametrize("how", [(), ("--preload",)], ids=["", "preload"])
def test_a_key_that_only_root_may_read_serves_workers_of_another_user(
    serve: Serve, pki: Pki, how: tuple[str, ...]
) -> None:
    pki.key.chmod(0o600)
    pki.folder.chmod(0o700)
    server = serve("plain:app", *ANY_PORT, "-w", "1", *how, *pki.files, *JSON, *QUICK, "--user", "nobody")
    (first,) = pids(server, pki)
    assert Path(f"/proc/{int(first)}").stat().st_uid != 0
    os.kill(int(first), signal.SIGKILL)
    eventually(lambda: pids(server, pki) - {first}, "another worker")
    expected = pki.install()
    pki.key.chmod(0o600)
    server.signal(signal.SIGHUP)
    server.wait_event("reload_promoted")
    eventually(lambda: pki.served(server) == expected, "the new certificate")


def test_an_expired_certificate_is_served_with_a_warning(serve: Serve, pki: Pki) -> None:
    long_ago = datetime.datetime(2001, 1, 1)
    expected = pki.install(pki.issue(not_before=long_ago, not_after=long_ago + datetime.timedelta(days=90)))
    server = serve("plain:app", *ANY_PORT, "-w", "2", *pki.files, *JSON)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pki.connect(server, context=context) as sock:
        der = sock.getpeercert(binary_form=True)
    assert der is not None
    assert x509.load_der_x509_certificate(der).serial_number == expected
    (warning,) = server.events("certificate_dates")
    assert warning["message"].endswith(f"the certificate in {pki.cert} expired on 2001-04-01 00:00 UTC")
    assert warning["level"].lower() == "warning"


def test_an_embedded_server_replaces_its_certificates_in_place(pki: Pki) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"yes"})

    async def serial_of(context: ssl.SSLContext, port: int) -> int:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(der).serial_number

    async def main() -> None:
        config = Config(
            app, port=0, ssl_certfile=pki.cert, ssl_keyfile=pki.key, lifespan="off", log_config=None, access_log=False
        )
        server = Server(config)
        serving = asyncio.create_task(server.serve())
        await server.wait_started(PATIENCE)
        assert server.port is not None
        context = pki.context()
        async with httpx.AsyncClient(verify=context, trust_env=False, timeout=PATIENCE) as kept:
            url = server.addresses[0]
            assert (await kept.get(url)).text == "yes"
            before = await serial_of(context, server.port)
            expected = pki.install()
            server.reload_certificates()
            await asyncio.sleep(0)
            assert await serial_of(context, server.port) == expected != before
            assert (await kept.get(url)).text == "yes"
            broken_mismatch(pki)
            with pytest.raises(ConfigError, match="does not belong to the certificate"):
                server.reload_certificates()
            assert await serial_of(context, server.port) == expected
        server.should_exit = True
        await serving

    asyncio.run(main())


# Names


@pytest.fixture
def names(pki: Pki) -> Path:
    return pki.folder / "names"


def add_name(pki: Pki, folder: Path, name: str, layout: str) -> int:
    leaf = pki.issue(name.replace("_.", "*."))
    folder.mkdir(exist_ok=True)
    if layout == "folder":
        (folder / name).mkdir(exist_ok=True)
        put(folder / name / "fullchain.pem", leaf.cert_chain_pems[0].bytes())
        put(folder / name / "privkey.pem", leaf.private_key_pem.bytes())
    elif layout == "pem":
        put(folder / f"{name}.pem", leaf.private_key_and_cert_chain_pem.bytes())
    else:
        put(folder / f"{name}.crt", leaf.cert_chain_pems[0].bytes())
        put(folder / f"{name}.key", leaf.private_key_pem.bytes())
    return serial(leaf)


@ENGINES
def test_each_name_gets_its_certificate(serve: Serve, pki: Pki, names: Path, loop: str) -> None:
    default = pki.install()
    one = add_name(pki, names, "one.example", "folder")
    two = add_name(pki, names, "Two.example", "pem")
    wild = add_name(pki, names, "_.wild.example", "crt")
    exact = add_name(pki, names, "exact.wild.example", "pem")
    server = serve("plain:app", *ANY_PORT, "--loop", loop, *pki.files, "--ssl-sni-dir", str(names), *JSON, *QUICK)
    expected = {
        "one.example": one,
        "ONE.example": one,
        "two.example": two,
        "any.wild.example": wild,
        "exact.wild.example": exact,
        "wild.example": default,
        "a.b.wild.example": default,
        "other.example": default,
        "localhost": default,
        None: default,
    }
    assert {name: pki.served(server, name) for name in expected} == expected
    # A renewed one, and one that is new, come with a reload; a broken one rejects it as a whole.
    renewed = add_name(pki, names, "one.example", "folder")
    new = add_name(pki, names, "new.example", "pem")
    server.signal(signal.SIGHUP)
    server.wait_event("worker_exited")
    assert (pki.served(server, "one.example"), pki.served(server, "new.example")) == (renewed, new)
    key = names / "one.example" / "privkey.pem"
    put(key, pki.issue().private_key_pem.bytes())
    server.signal(signal.SIGHUP)
    reason = server.wait_event("reload_rejected")["reason"]
    chain = names / "one.example" / "fullchain.pem"
    assert reason == f"ssl_sni_dir: the key in {key} does not belong to the certificate in {chain}"
    assert pki.served(server, "one.example") == renewed


@ENGINES
def test_the_application_sees_the_certificate_that_was_chosen(serve: Serve, pki: Pki, names: Path, loop: str) -> None:
    expected = {"one.example": add_name(pki, names, "one.example", "pem"), "localhost": pki.install()}
    server = serve("extended:app", *ANY_PORT, "--loop", loop, *pki.files, "--ssl-sni-dir", str(names))
    for number in (1, 2):
        for name, serial_number in expected.items():
            with Wire(pki.connect(server, name)) as wire:
                pem = json.loads(wire.get("/offers").body)[0]["tls"]["server_cert"]
            assert x509.load_pem_x509_certificate(pem.encode()).serial_number == serial_number
        if number == 1:  # what lies on the disk by now is of no interest
            pki.install()
            add_name(pki, names, "one.example", "pem")


def test_without_a_default_other_names_are_refused(serve: Serve, pki: Pki, names: Path) -> None:
    one = add_name(pki, names, "one.example", "pem")
    server = serve("plain:app", *ANY_PORT, "--ssl-sni-dir", str(names))
    server.wait_log("listening on https://")
    assert pki.served(server, "one.example") == one
    for name in ("two.example", None):
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
            pki.connect(server, name)


def test_a_hostile_name_is_one_of_many_and_leaves_no_trace_in_the_log(serve: Serve, pki: Pki, names: Path) -> None:
    add_name(pki, names, "one.example", "pem")
    server = serve("plain:app", *ANY_PORT, *pki.files, "--ssl-sni-dir", str(names))
    hello = client_hello("aaaaaaaaaaaa.example")
    hostile = [
        b"../../../etc",
        b"\xff\xfe\xc3\x28\x00\x00\x00\x00aaaa",
        b"\xc3\xa4" * 6,
        b"a\0.example\0.",
        b"*.*.*.*.*.*.",
        b"%s%n\r\n\x1b[31m.",
    ]
    server.wait_log("ready: 1 worker")
    before = server.err
    for name in hostile:
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as sock:
            sock.sendall(hello.replace(b"aaaaaaaaaaaa", name))
            assert sock.recv(1)[0] in (21, 22)  # an alert, or the server's part of the handshake
    with Wire(pki.connect(server)) as wire:
        assert wire.get("/").status == 200
    assert server.err == before


def client_hello(name: str) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


# Client certificates


def asked(server: ServerProcess, context: ssl.SSLContext) -> dict[str, Any]:
    """What the application is told of the connection."""
    with server.client(verify=context) as client:
        return dict(client.get("/offers").json()[0]["tls"])


@ENGINES
def test_required_client_certificates(serve: Serve, pki: Pki, loop: str) -> None:
    flags = ("--ca-certs", str(pki.ca), "--cert-reqs", "required", "--loop", loop)
    server = serve("extended:app", *ANY_PORT, *pki.files, *flags)
    me = pki.issue("me@example.org", common_name="me")
    told = asked(server, pki.context(me))
    assert told["client_cert_name"].startswith("CN=me,")
    own = me.cert_chain_pems[0].bytes().decode()
    assert ssl.PEM_cert_to_DER_cert(told["client_cert_chain"][0]) == ssl.PEM_cert_to_DER_cert(own)
    stranger = trustme.CA().issue_cert("me@example.org")
    for context in (pki.context(), pki.context(stranger)):
        with pytest.raises(httpx.TransportError):
            asked(server, context)
    assert asked(server, pki.context(me)) == told


@ENGINES
def test_optional_client_certificates(serve: Serve, pki: Pki, loop: str) -> None:
    flags = ("--ca-certs", str(pki.ca), "--cert-reqs", "optional", "--loop", loop)
    server = serve("extended:app", *ANY_PORT, *pki.files, *flags)
    assert asked(server, pki.context(pki.issue("a@example.org", common_name="a")))["client_cert_name"].startswith(
        "CN=a"
    )
    assert asked(server, pki.context())["client_cert_name"] is None
    with pytest.raises(httpx.TransportError):  # a certificate that is shown must be a good one
        asked(server, pki.context(trustme.CA().issue_cert("a@example.org")))


def test_client_certificates_hold_for_every_name(serve: Serve, pki: Pki, names: Path) -> None:
    add_name(pki, names, "one.example", "pem")
    flags = ("--ca-certs", str(pki.ca), "--cert-reqs", "required", "--ssl-sni-dir", str(names))
    server = serve("plain:app", *ANY_PORT, *pki.files, *flags)
    me = pki.issue("me@example.org")
    for name in ("localhost", "one.example"):
        with Wire(pki.connect(server, name, context=pki.context(me))) as wire:
            assert wire.get("/").status == 200
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"), Wire(pki.connect(server, name)) as wire:
            wire.get("/")


def test_a_revoked_client_certificate_is_refused(serve: Serve, pki: Pki) -> None:
    good, bad = pki.issue("good@example.org"), pki.issue("bad@example.org")
    key = serialization.load_pem_private_key(pki.authority.private_key_pem.bytes(), None)
    issuer = x509.load_pem_x509_certificate(pki.authority.cert_pem.bytes()).subject
    now = datetime.datetime.now(datetime.UTC)
    revoked = x509.RevokedCertificateBuilder().serial_number(serial(bad)).revocation_date(now).build()
    builder = x509.CertificateRevocationListBuilder(issuer, now, now + datetime.timedelta(days=1), [], [revoked])
    crl = pki.folder / "crl.pem"
    crl.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))  # type: ignore[arg-type]
    flags = ("--ca-certs", str(pki.ca), "--cert-reqs", "required", "--ssl-crl", str(crl))
    server = serve("extended:app", *ANY_PORT, *pki.files, *flags)
    assert asked(server, pki.context(good))["client_cert_name"]
    with pytest.raises(httpx.TransportError):
        asked(server, pki.context(bad))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_with_a_client_certificate(serve: Serve, pki: Pki) -> None:
    server = serve("plain:app", *ANY_PORT, *pki.files, "--ca-certs", str(pki.ca), "--cert-reqs", "required")
    both = pki.folder / "me.pem"
    pki.issue("me@example.org").private_key_and_cert_chain_pem.write_to_path(str(both))
    base = [
        "curl",
        "-sS",
        "--noproxy",
        "*",
        "--max-time",
        "20",
        "--cacert",
        str(pki.ca),
        f"https://localhost:{server.port}/",
    ]
    resolve = ["--resolve", f"localhost:{server.port}:127.0.0.1"]
    done = subprocess.run(
        [*base, *resolve, "--cert", str(both), "-w", " %{http_version}"], capture_output=True, check=False
    )
    assert done.stdout.endswith(b" 1.1"), done.stderr
    assert subprocess.run([*base, *resolve], capture_output=True, check=False).returncode != 0


# Versions, keys, sessions


@ENGINES
def test_the_lowest_version_is_a_setting(serve: Serve, pki: Pki, loop: str) -> None:
    server = serve("plain:app", *ANY_PORT, *pki.files, "--ssl-min-version", "1.3", "--loop", loop)
    with pki.connect(server) as sock:
        assert sock.version() == "TLSv1.3"
    old = pki.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        pki.connect(server, context=old)


def test_http_1_1_is_what_alpn_agrees_upon(serve: Serve, pki: Pki, names: Path) -> None:
    add_name(pki, names, "one.example", "pem")
    server = serve("plain:app", *ANY_PORT, *pki.files, "--ssl-sni-dir", str(names))
    for name in ("localhost", "one.example"):
        for offers, agreed in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)):
            context = pki.context()
            if offers:
                context.set_alpn_protocols(offers)
            with pki.connect(server, name, context=context) as sock:
                assert sock.selected_alpn_protocol() == agreed


def test_an_encrypted_key_is_opened_and_never_asked_for(serve: Serve, pki: Pki) -> None:
    key = serialization.load_pem_private_key(pki.key.read_bytes(), None)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    put(pki.key, key.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"open")))
    server = serve("plain:app", *ANY_PORT, *pki.files, "--keyfile-password", "open")
    with Wire(pki.connect(server)) as wire:
        assert wire.get("/").status == 200
    for password, complaint in (
        ("shut", "keyfile_password: it does not open"),
        ("", "is encrypted; set keyfile_password"),
    ):
        refused = run("plain:app", *ANY_PORT, *pki.files, *(("--keyfile-password", password) if password else ()))
        assert refused.code == 2, str(refused)
        assert complaint in refused.text
        assert len(refused.err.splitlines()) == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("how", [(), ("--preload",), ("--loop", "asyncio")], ids=str)
def test_a_session_is_resumed_by_any_worker(
    serve: Serve, pki: Pki, names: Path, version: ssl.TLSVersion, how: tuple[str, ...]
) -> None:
    add_name(pki, names, "one.example", "pem")
    server = serve("plain:app", *ANY_PORT, "-w", "3", *how, *pki.files, "--ssl-sni-dir", str(names))
    for name in ("localhost", "one.example"):
        context = pki.context()
        context.minimum_version = context.maximum_version = version
        with Wire(pki.connect(server, name, context=context)) as wire:
            wire.get("/")
            session = wire.socket.session  # type: ignore[attr-defined]
        met = set()
        for _ in range(12):
            with Wire(pki.connect(server, name, context=context, session=session)) as wire:
                assert wire.socket.session_reused  # type: ignore[attr-defined]
                met.add(wire.get("/").body)
        assert met


# What is no handshake


@ENGINES
def test_plain_http_is_told_to_speak_tls(serve: Serve, pki: Pki, loop: str) -> None:
    server = serve("plain:app", *ANY_PORT, *pki.files, "--loop", loop)
    server.wait_log("ready: 1 worker")
    before = server.log
    answer = httpx.post(f"http://127.0.0.1:{server.port}/", content=b"x" * 200_000, trust_env=False, timeout=PATIENCE)
    assert (answer.status_code, answer.text) == (400, "This port speaks TLS: ask with https.\n")
    with server.wire() as wire:
        assert wire.get("/").status == 400
        assert wire.rest() == b""
    assert server.log == before


@ENGINES
@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01"])
def test_a_handshake_has_a_deadline(serve: Serve, pki: Pki, loop: str, said: bytes) -> None:
    server = serve("plain:app", *ANY_PORT, *pki.files, "--loop", loop, "--handshake-timeout", "0.5")
    began = time.monotonic()
    with server.wire() as wire:
        wire.send(said)
        with contextlib.suppress(ConnectionResetError):
            assert wire.rest() == b""
    assert time.monotonic() - began > 0.4


# The end of a large response

BIG = """
import asyncio.constants

asyncio.constants.SSL_SHUTDOWN_TIMEOUT = 3.0  # 30 by default, so that this takes less patience

async def app(scope, receive, send):
    assert scope["type"] == "http"
    size = int(scope["path"][1:])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    await send({"type": "http.response.body", "body": b"x" * size})
"""


def read_slowly(sock: socket.socket, size: int, seconds: float) -> int:
    """Take about ``size`` bytes at an even pace; how many came before the end."""
    got, began = 0, time.monotonic()
    with contextlib.suppress(OSError):
        while got < size and (piece := sock.recv(65536)):
            got += len(piece)
            time.sleep(max(0.0, began + seconds * got / size - time.monotonic()))
    return got


def test_slow_clients_get_all_of_a_large_response(project: Callable[..., Path], serve: Serve, pki: Pki) -> None:
    """They take much longer than the deadlines that would cut them off, were these about the whole and not about progress.
    Both loops, with and without ``Connection: close``, at the same time, since it takes a while."""
    folder = project(big=BIG)
    flags = ("--lifespan", "off", "--write-timeout", "6", "--keep-alive", "1")
    size, seconds = 20_000_000, 9.0
    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as stack:
        results = {}
        for loop in ("asyncio", "uvloop"):
            server = serve("big:app", *ANY_PORT, *pki.files, *flags, "--loop", loop, cwd=folder)
            for header in (b"Connection: close\r\n", b""):
                raw = socket.socket()
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                raw.settimeout(PATIENCE)
                raw.connect(("127.0.0.1", server.port))
                sock = stack.enter_context(pki.context().wrap_socket(raw, server_hostname="localhost"))
                sock.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\n%s\r\n" % (size, header))
                results[loop, header] = pool.submit(read_slowly, sock, size, seconds)
        missing = {how: size - result.result() for how, result in results.items() if result.result() < size}
    assert missing == {}


@ENGINES
def test_a_refusal_ends_as_tls_wants_it(serve: Serve, pki: Pki, loop: str) -> None:
    """With ``close_notify`` (RFC 8446 section 6.1), so that the client can tell the end from a cut; also while it sends."""
    server = serve("plain:app", *ANY_PORT, *pki.files, "--loop", loop, "--limit-request-body", "1000")
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n"
    for said, status in ((b"BAD\r\n\r\n", b"400"), (head + b"x" * 100_000, b"413")):
        with pki.connect(server, suppress_ragged_eofs=False) as sock:
            sock.sendall(said)
            heard = b""
            while piece := sock.recv(65536):
                heard += piece
        assert heard.startswith(b"HTTP/1.1 " + status)


# Hooks


HOOKS = """
import ssl
from plain import app

def stricter(config, default):
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context

def wrong(config, default):
    return "context"
"""


def test_the_hook_changes_what_the_arbiter_has_prepared(project: Callable[..., Path], serve: Serve, pki: Pki) -> None:
    from .server_process import APPS

    folder = project(hooked=HOOKS, plain=(APPS / "plain.py").read_text())
    flags = ("-w", "1", *pki.files, *JSON)
    (folder / "conf.py").write_text("from hooked import stricter as ssl_context\n")
    server = serve("hooked:app", *ANY_PORT, *flags, "-c", "conf.py", cwd=folder)
    old = pki.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):
        pki.connect(server, context=old)
    (first,) = pids(server, pki)
    pki.cert.write_text("no certificate\n")  # respawned from what was prepared
    os.kill(int(first), signal.SIGKILL)
    eventually(lambda: pids(server, pki) - {first}, "another worker")


def test_a_hook_that_returns_something_else_is_one_line(project: Callable[..., Path], pki: Pki) -> None:
    from .server_process import APPS

    folder = project(
        hooked=HOOKS, plain=(APPS / "plain.py").read_text(), conf="from hooked import wrong as ssl_context\n"
    )
    refused = run("hooked:app", *ANY_PORT, *pki.files, "-c", "conf.py", cwd=folder)
    assert refused.code == 2, str(refused)
    assert "Traceback" not in refused.text
    assert "returned a str, expected an ssl.SSLContext" in refused.text
