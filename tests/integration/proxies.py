"""Real proxies in front of the server under test: HAProxy and nginx, each with a configuration of a few lines."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .server_process import eventually, free_port

__all__ = ["haproxy", "needs", "nginx", "nginx_module"]

_HAPROXY = """
global
    maxconn 200
defaults
    mode {mode}
    timeout connect 5s
    timeout client 20s
    timeout server 20s
    {options}
listen front
    bind 127.0.0.1:{port}
    server back 127.0.0.1:{backend} {server}
"""

_NGINX = """
daemon off;
pid {folder}/pid;
error_log stderr;
{head}
events {{ worker_connections 100; }}
{blocks}
"""

_NGINX_HTTP = """
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{backend};
            proxy_http_version 1.1;
            {settings}
        }}
    }}
}}
"""


def needs(name: str) -> str:
    """The path of a program, which is not in everybody's ``PATH``; skips the test where there is none."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin")
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


@contextmanager
def _running(command: list[str], port: int, folder: Path) -> Iterator[int]:
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:

            def listening() -> bool:
                assert process.poll() is None, (folder / "log").read_text()
                with socket.socket() as sock:
                    return sock.connect_ex(("127.0.0.1", port)) == 0

            eventually(listening, f"{command[0]} listens")
            yield port
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def haproxy(folder: Path, backend: int, *, server: str = "", mode: str = "tcp", options: str = "") -> Iterator[int]:
    """HAProxy in front of a port of 127.0.0.1; ``server`` are the words of its server line. Gives its own port."""
    tool, port = needs("haproxy"), free_port()
    config = folder / "haproxy.cfg"
    config.write_text(_HAPROXY.format(mode=mode, port=port, backend=backend, server=server, options=options))
    with _running([tool, "-db", "-f", str(config)], port, folder):
        yield port


@contextmanager
def nginx(folder: Path, backend: str, *settings: str) -> Iterator[int]:
    """nginx as HTTP proxy, with ``settings`` in its location. Gives its port."""
    tool, port = needs("nginx"), free_port()
    lines = " ".join(f"{each};" for each in settings)
    blocks = _NGINX_HTTP.format(folder=folder, port=port, backend=backend, settings=lines)
    with _nginx(tool, folder, port, "", blocks):
        yield port


@contextmanager
def nginx_stream(folder: Path, backend: int, module: Path) -> Iterator[int]:
    """nginx as TCP proxy that sends the PROXY preface. Gives its port."""
    tool, port = needs("nginx"), free_port()
    server = f"listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{backend}; proxy_protocol on;"
    with _nginx(tool, folder, port, f"load_module {module};", f"stream {{ server {{ {server} }} }}"):
        yield port


@contextmanager
def _nginx(tool: str, folder: Path, port: int, head: str, blocks: str) -> Iterator[None]:
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, head=head, blocks=blocks))
    with _running([tool, "-p", str(folder), "-e", "stderr", "-c", str(config)], port, folder):
        yield


def nginx_module(name: str) -> Path:
    """A loadable module of nginx; skips the test where there is none."""
    for folder in ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"):
        if (path := Path(folder) / f"ngx_{name}_module.so").exists():
            return path
    pytest.skip(f"nginx has no {name} module here (Debian: libnginx-mod-{name})")
