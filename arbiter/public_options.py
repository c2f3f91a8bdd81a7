"""The keywords of ``run`` and ``Config`` for type checkers and editors. Nothing here is imported at run time.

Rules: one entry for each setting of the table (``config/settings.py``) but those that exist only to be accepted from
gunicorn's files, under our name; then uvicorn's names where they differ. The test compares this list with the table and
with uvicorn's own. ``None`` is "not given" everywhere, except where ``Config`` says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from configparser import RawConfigParser
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypedDict

if TYPE_CHECKING:
    import ssl

    from .public_config import Config

__all__ = ["Application", "Options"]

Application: TypeAlias = Callable[..., Any] | str
"""An application, or where it is: ``module:attribute``."""
Path: TypeAlias = str | os.PathLike[str]
Seconds: TypeAlias = float | str
"""``5``, ``0.5`` or ``"90s"``, ``"2m"``."""
Texts: TypeAlias = Sequence[Path] | str
Pairs: TypeAlias = Mapping[str, str] | Sequence[tuple[str, str]]
LogConfiguration: TypeAlias = Mapping[str, Any] | Path | RawConfigParser | IO[Any]
TLSFactory: TypeAlias = "Callable[[Config, Callable[[], ssl.SSLContext]], ssl.SSLContext]"


class Options(TypedDict, total=False):
    """All keywords but the application and the four ways to write one address."""

    # Application
    factory: bool | None
    app_dir: Path | None
    pythonpath: Texts | None
    chdir: Path | None
    env_file: Texts | Path | None
    raw_env: Texts | None
    interface: str | None
    lifespan: str | None
    lifespan_startup_timeout: Seconds | None
    lifespan_shutdown_timeout: Seconds | None
    root_path: str | None
    reset_contextvars: bool | None
    preload_app: bool | None
    # Sockets
    bind: Texts | None
    backlog: int | None
    reuse_port: bool | None
    uds_permissions: int | str | None
    uds_owner: str | None
    # Processes
    workers: int | str | None
    worker_class: str | None
    worker_connections: int | None
    loop: str | None
    # Recycling
    max_requests: int | None
    max_requests_jitter: int | None
    max_worker_lifetime: Seconds | None
    max_worker_lifetime_jitter: Seconds | None
    min_worker_lifetime: Seconds | None
    max_worker_memory: int | str | None
    max_worker_memory_jitter: int | str | None
    recycle_surge: int | None
    # Supervision
    timeout: Seconds | None
    boot_timeout: Seconds | None
    settle_time: Seconds | None
    reload_surge: int | None
    max_restarts: int | None
    restart_window: Seconds | None
    # Stopping
    graceful_timeout: Seconds | None
    quick_timeout: Seconds | None
    kill_timeout: Seconds | None
    abort_timeout: Seconds | None
    drain_delay: Seconds | None
    drain_linger: Seconds | None
    # Requests
    http: str | None
    keepalive: Seconds | None
    header_timeout: Seconds | None
    body_timeout: Seconds | None
    body_min_rate: int | str | None
    write_timeout: Seconds | None
    write_min_rate: int | str | None
    request_timeout: Seconds | None
    limit_request_line: int | str | None
    limit_request_fields: int | None
    limit_request_field_size: int | str | None
    limit_request_head: int | str | None
    limit_request_body: int | str | None
    limit_concurrency: int | None
    disconnect_grace_period: Seconds | None
    server_header: bool | None
    date_header: bool | None
    headers: Pairs | Texts | None
    # Proxies
    proxy_headers: bool | None
    forwarded_allow_ips: Texts | None
    secure_scheme_headers: Pairs | None
    forwarder_headers: Texts | None
    header_map: str | None
    proxy_protocol: str | None
    proxy_allow_ips: Texts | None
    # WebSocket
    ws: str | None
    ws_max_size: int | str | None
    ws_max_queue: int | None
    ws_ping_interval: Seconds | None
    ws_ping_timeout: Seconds | None
    ws_per_message_deflate: bool | None
    ws_deflate_window_bits: int | None
    ws_deflate_context_takeover: bool | None
    # TLS
    keyfile: Path | None
    certfile: Path | None
    keyfile_password: str | None
    ca_certs: Path | None
    cert_reqs: int | None
    ssl_version: int | None
    ciphers: str | None
    ssl_min_version: str | None
    ssl_sni_dir: Path | None
    ssl_crl: Path | None
    handshake_timeout: Seconds | None
    # Logging
    log_level: str | int | None
    access_log: bool | None
    access_logfile: Path | None
    access_log_format: str | None
    error_logfile: Path | None
    log_format: str | None
    log_config: LogConfiguration | None
    use_colors: bool | None
    capture_output: bool | None
    # Identity
    pidfile: Path | None
    daemon: bool | None
    user: str | None
    group: str | None
    initgroups: bool | None
    umask: int | str | None
    proc_name: str | None
    # Development
    reload: bool | None
    reload_dirs: Texts | Path | None
    reload_includes: Texts | None
    reload_excludes: Texts | None
    reload_delay: Seconds | None
    # Hooks
    on_starting: str | None
    on_reload: str | None
    when_ready: str | None
    pre_fork: str | None
    post_fork: str | None
    post_worker_init: str | None
    worker_int: str | None
    worker_abort: str | None
    pre_exec: str | None
    child_exit: str | None
    worker_exit: str | None
    nworkers_changed: str | None
    on_exit: str | None
    pre_request: str | None
    post_request: str | None
    ssl_context: str | None
    worker_ready: str | None
    worker_retiring: str | None
    reload_finished: str | None
    on_timeout: str | None
    # uvicorn's other names for some of them
    http2: bool | None
    limit_max_requests: int | None
    limit_max_requests_jitter: int | None
    timeout_keep_alive: Seconds | None
    timeout_graceful_shutdown: Seconds | None
    timeout_worker_healthcheck: Seconds | None
    h11_max_incomplete_event_size: int | None
    ssl_keyfile: Path | None
    ssl_certfile: Path | None
    ssl_keyfile_password: str | None
    ssl_ca_certs: Path | None
    ssl_cert_reqs: int | None
    ssl_ciphers: str | None
    # What only a program can say
    callback_notify: Callable[[], Awaitable[object]] | None
    timeout_notify: float | None
    ssl_context_factory: TLSFactory | None
