"""Every way in which a connection can reach the server, each proven by a request and by the scope that it makes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .certificates import Certificates
from .server_process import APPS, COMMAND, PATIENCE, ServerProcess, clean_environment, eventually, fetch, free_port, run
from .wire import Wire

pytestmark = pytest.mark.process

Serve = Callable[..., ServerProcess]
ENGINES = [("httptools", "uvloop"), ("h11", "asyncio")]
ANY_PORT = "127.0.0.1:0"


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(params=ENGINES, ids="-".join)
def engine(request: pytest.FixtureRequest) -> list[str]:
    http, loop = request.param
    return ["--http", http, "--loop", loop, "-w", "2"]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket bound and listening in this process, as systemd or another supervisor has it."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def scope_over(path: str) -> dict[str, object]:
    """The scope of a request over a Unix socket."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://test", timeout=PATIENCE) as client:
        return client.get("/scope").json()


def test_ipv4_tells_the_application_both_ends(serve: Serve, engine: list[str]) -> None:
    server = serve("plain:app", *engine, "--bind", ANY_PORT)
    with server.wire() as wire:
        ours = wire.socket.getsockname()
        scope = json.loads(wire.get("/scope").body)
    assert scope["client"] == list(ours)
    assert scope["server"] == ["127.0.0.1", server.port]
    assert scope["scheme"] == "http"


def test_the_port_that_the_kernel_chose_is_in_the_log(serve: Serve) -> None:
    server = serve("plain:app", "--bind", ANY_PORT)
    port = int(server.wait_log(r"listening on http://127\.0\.0\.1:(\d+)")[1])
    assert port == server.port


@pytest.mark.skipif(not has_ipv6(), reason="no ::1 here")
def test_ipv6_works_and_is_shown_in_brackets(serve: Serve, engine: list[str]) -> None:
    server = serve("plain:app", *engine, "--bind", "[::1]:0")
    scope = server.get("/scope").json()
    assert scope["server"] == ["::1", server.port]
    assert scope["client"][0] == "::1"
    server.wait_log(rf"listening on http://\[::1\]:{server.port}")


def test_a_unix_socket_works_and_is_removed_at_the_end(serve: Serve, engine: list[str], short_path: Path) -> None:
    path = short_path / "s"
    server = serve("plain:app", *engine, "--bind", f"unix:{path}")
    assert scope_over(str(path))["server"] == [str(path), None]
    assert server.addresses() == []
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert not path.exists()


def test_uvicorns_spelling_of_a_unix_socket_works_too(serve: Serve, short_path: Path) -> None:
    path = short_path / "s"
    serve("plain:app", "-w", "2", "--uds", str(path))
    assert scope_over(str(path))["type"] == "http"


def test_a_relative_unix_path_is_meant_from_where_the_command_was_started(serve: Serve, short_path: Path) -> None:
    serve("plain:app", "--app-dir", str(APPS), "--bind", "unix:s", cwd=short_path)
    assert scope_over(str(short_path / "s"))["type"] == "http"


def test_a_unix_socket_has_the_permissions_asked_for(serve: Serve, short_path: Path) -> None:
    path = short_path / "s"
    serve("plain:app", "--bind", f"unix:{path}", "--uds-permissions", "640")
    assert path.stat().st_mode & 0o777 == 0o640


def test_the_socket_file_of_a_dead_server_is_replaced(serve: Serve, short_path: Path) -> None:
    path = short_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    serve("plain:app", "--bind", f"unix:{path}")
    assert scope_over(str(path))["type"] == "http"


def test_the_socket_of_a_living_server_is_not_taken(serve: Serve, short_path: Path) -> None:
    path = short_path / "s"
    serve("plain:app", "--bind", f"unix:{path}")
    second = run("plain:app", "--bind", f"unix:{path}")
    assert second.code == 3
    assert str(path) in second.text and "in use" in second.text, str(second)
    assert scope_over(str(path))["type"] == "http"


def test_a_regular_file_in_the_place_of_a_socket_is_left_alone(short_path: Path) -> None:
    path = short_path / "s"
    path.write_text("precious")
    refused = run("plain:app", "--bind", f"unix:{path}")
    assert refused.code == 3
    assert str(path) in refused.text and "Traceback" not in refused.text, str(refused)
    assert path.read_text() == "precious"


def test_a_path_too_long_for_a_unix_socket_is_explained() -> None:
    refused = run("plain:app", "--bind", f"unix:/tmp/{'x' * 200}")
    assert refused.code == 2
    assert "205 bytes" in refused.text and "Traceback" not in refused.text, str(refused)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_an_abstract_unix_socket_works(serve: Serve) -> None:
    name = f"arbiter-test-{os.getpid()}"
    serve("plain:app", "--bind", f"unix:@{name}")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(f"\0{name}")
        assert Wire(sock).get().status == 200


@pytest.mark.parametrize("spelling", ["--fd", "--bind"])
def test_an_inherited_descriptor_is_served(
    serve: Serve, engine: list[str], listener: socket.socket, spelling: str
) -> None:
    fd = listener.fileno()
    value = str(fd) if spelling == "--fd" else f"fd://{fd}"
    server = serve("plain:app", *engine, spelling, value, pass_fds=(fd,))
    listener_port = listener.getsockname()[1]
    listener.close()  # "the port is free" is checked at the end
    response = fetch(f"http://127.0.0.1:{listener_port}/scope")
    assert response.json()["server"] == ["127.0.0.1", listener_port]
    assert [port for _, port in server.addresses()] == [listener_port]


def test_a_descriptor_that_is_no_socket_is_refused() -> None:
    refused = run("plain:app", "--bind", "fd://99")
    assert refused.code in (2, 3)
    assert "99" in refused.text and "Traceback" not in refused.text, str(refused)


# What systemd does, in one line each: LISTEN_PID names the process that execs, the sockets begin at descriptor 3.
ACTIVATE = """
import os, sys
for number, fd in enumerate(sys.argv[1].split(",")):
    os.dup2(int(fd), 40 + number)
for number, fd in enumerate(sys.argv[1].split(",")):
    os.dup2(40 + number, 3 + number)
    os.close(40 + number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDS"] = str(number + 1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_sockets_of_systemd_are_served_and_hidden_from_the_application(
    serve: Serve, listener: socket.socket, short_path: Path
) -> None:
    path = short_path / "s"
    with socket.socket(socket.AF_UNIX) as second:
        second.bind(str(path))
        second.listen()
        fds = (listener.fileno(), second.fileno())
        server = serve(
            "plain:app",
            *("-w", "2"),
            command=[sys.executable, "-P", "-c", ACTIVATE, ",".join(map(str, fds)), *COMMAND],
            pass_fds=fds,
            env={"LISTEN_FDNAMES": "web:local"},
        )
    port = listener.getsockname()[1]
    listener.close()
    environment = fetch(f"http://127.0.0.1:{port}/environment").json()
    assert not [name for name in environment if name.startswith("LISTEN_")]
    assert "NOTIFY_SOCKET" not in environment
    assert scope_over(str(path))["server"] == [str(path), None]
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert path.exists()  # it is systemd's, not ours


def activated(*sockets: socket.socket) -> dict[str, Any]:
    """Starts the command as systemd does, with these sockets."""
    fds = tuple(sock.fileno() for sock in sockets)
    command = [sys.executable, "-P", "-c", ACTIVATE, ",".join(map(str, fds)), *COMMAND]
    return {"command": command, "pass_fds": fds}


def test_sockets_of_systemd_can_be_meant_by_their_names(serve: Serve, listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        server = serve(
            "plain:app",
            *("--bind", "fd://web", "--bind", "127.0.0.1:0"),
            **activated(other, listener),
            env={"LISTEN_FDNAMES": "metrics:web"},
        )
        passed = {listener.getsockname()[1], other.getsockname()[1]}
        served = {port for _, port in server.addresses()}
        (own,) = served - passed
        for port in (own, listener.getsockname()[1]):
            assert fetch(f"http://127.0.0.1:{port}/").status_code == 200
        assert "not served: metrics" in server.log
    listener.close()


def test_a_name_that_systemd_did_not_pass_is_one_line_with_those_that_it_did(listener: socket.socket) -> None:
    refused = run("plain:app", "--bind", "fd://wep", **activated(listener), env={"LISTEN_FDNAMES": "web"})
    assert refused.code == 3
    assert "fd://wep: the service manager passed no socket of that name (passed: web)" in refused.text
    listener.close()


def test_listen_fds_meant_for_another_process_are_ignored(serve: Serve, listener: socket.socket) -> None:
    port = free_port()
    server = serve(
        "plain:app",
        *("--bind", f"127.0.0.1:{port}"),
        env={"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        pass_fds=(listener.fileno(),),
    )
    assert fetch(f"http://127.0.0.1:{port}/").status_code == 200
    assert f":{listener.getsockname()[1]}" not in server.log
    listener.close()


def test_systemd_socket_activate_starts_it_at_the_first_connection() -> None:
    tool = shutil.which("systemd-socket-activate")
    if not tool:
        pytest.skip("systemd-socket-activate is not installed")
    port = free_port()
    with subprocess.Popen(
        [tool, "-l", f"127.0.0.1:{port}", *COMMAND, "plain:app", "-w", "2"],
        cwd=APPS,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:

            def listening() -> bool:
                with socket.socket() as sock:
                    return sock.connect_ex(("127.0.0.1", port)) == 0

            eventually(listening, "systemd-socket-activate listens")
            assert fetch(f"http://127.0.0.1:{port}/").status_code == 200
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0


def test_several_addresses_are_served_at_once(serve: Serve, short_path: Path) -> None:
    path = short_path / "s"
    chosen = free_port()
    server = serve("plain:app", "-w", "2", "--bind", ANY_PORT, "-b", f"127.0.0.1:{chosen}", "-b", f"unix:{path}")
    ports = {port for _, port in server.addresses()}
    assert len(ports) == 2 and chosen in ports
    for port in ports:
        scope = fetch(f"http://127.0.0.1:{port}/scope").json()
        assert scope["server"][1] == port
        server.wait_log(rf"listening on .*http://127\.0\.0\.1:{port}")
    assert scope_over(str(path))["server"] == [str(path), None]
    server.wait_log(re.escape(f"unix:{path}"))


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


def test_tls_serves_a_verified_client_and_large_bodies(
    serve: Serve, engine: list[str], certificates: Certificates
) -> None:
    files = ["--ssl-certfile", str(certificates.cert), "--ssl-keyfile", str(certificates.key)]
    server = serve("plain:app", *engine, "--bind", ANY_PORT, *files)
    body = os.urandom(5 << 20)
    with server.client(verify=certificates.context()) as client:
        assert client.get("/scope").json()["scheme"] == "https"
        assert client.post("/echo", content=body).content == body
    server.wait_log(rf"listening on https://127\.0\.0\.1:{server.port}")


def test_tls_asks_for_a_client_certificate_when_told_to(serve: Serve, certificates: Certificates) -> None:
    server = serve(
        "plain:app",
        *("--bind", ANY_PORT, "--certfile", str(certificates.cert), "--keyfile", str(certificates.key)),
        *("--ssl-ca-certs", str(certificates.ca), "--ssl-cert-reqs", "2"),
    )
    known = certificates.context()
    known.load_cert_chain(str(certificates.client))
    with server.client(verify=known) as client:
        assert client.get("/").status_code == 200
    with server.client(verify=certificates.context()) as client, pytest.raises(httpx.TransportError):
        client.get("/")


def test_plain_http_on_a_tls_port_harms_nobody(serve: Serve, certificates: Certificates) -> None:
    server = serve(
        "plain:app", "--bind", ANY_PORT, "--certfile", str(certificates.cert), "--keyfile", str(certificates.key)
    )
    with server.wire() as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        assert not wire.rest().startswith(b"HTTP/1.1 200")
    with server.client(verify=certificates.context()) as client:
        assert client.get("/").status_code == 200


@pytest.mark.parametrize("missing", ["cert", "key"])
def test_a_missing_certificate_file_is_one_clear_line(certificates: Certificates, missing: str) -> None:
    getattr(certificates, missing).unlink()
    refused = run(
        "plain:app", "--bind", ANY_PORT, "--certfile", str(certificates.cert), "--keyfile", str(certificates.key)
    )
    assert refused.code == 2, str(refused)
    assert str(getattr(certificates, missing)) in refused.text and "Traceback" not in refused.text, str(refused)
