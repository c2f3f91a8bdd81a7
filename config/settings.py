"""The table of settings: one field for each, in the order of the manual.

Rules: a setting is declared here once and nowhere else; other servers' spellings are data of the entry (``also``,
``keys``, ``uvicorn``, ``gunicorn``), never code. 0 means off or unlimited unless the help says otherwise. Durations are
seconds, sizes are bytes. A setting that has no effect here is accepted with the reason in ``inert``, which becomes one
warning; it is never quietly ignored.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from .address import Address
from .records import Record, defaults_of
from .schema import Kind, Option, Reach, setting
from .written import toml_value

__all__ = ["ADDRESS_PARTS", "Config", "defaults", "names", "options"]

_LIVE, _WORKERS, _RESTART = Reach.LIVE, Reach.WORKERS, Reach.RESTART

_APP = "Application"
_SOCKETS = "Sockets"
_PROCESSES = "Processes"
_RECYCLING = "Recycling"
_SUPERVISION = "Supervision"
_STOPPING = "Stopping"
_REQUESTS = "Requests"
_PROXIES = "Proxies"
_WEBSOCKET = "WebSocket"
_TLS = "TLS"
_LOGGING = "Logging"
_IDENTITY = "Identity"
_DEVELOPMENT = "Development"
_HOOKS = "Hooks"
_COMPATIBILITY = "Compatibility"

_STATSD = "there is no statsd client; take the numbers from the access log"
_SYSLOG = "the program writes to standard output or to files; let journald or a log shipper carry the lines"
_HTTP2 = "HTTP/2 is not served; put a proxy that speaks it in front"
_DIRTY = "there is no second pool of workers; run such jobs in a task queue"
_CONTROL = "there is no control socket; the arbiter is controlled by signals"
_STRICT = "the parsers follow RFC 9112 and have no such leniency"
_WSGI_UPLOAD = "request bodies are handed to the application as they arrive and never stored in files"
_PASTE = "Paste configuration files are not read; name the application as module:attribute"


class Config(Record, kw_only=True):
    """What is wanted: every setting with its value. Made by ``load``, which checks values and the rules between them;
    made by hand (``Config(workers=2)``) the values are taken as they are."""

    # ------------------------------------------------------------------------------------------------ Application
    app: str = setting(
        "",
        kind=Kind.TEXT,
        section=_APP,
        help="The application, as module:attribute.",
        more="On the command line it is the argument without a flag. The attribute may have dots.",
        gunicorn="wsgi_app",
    )
    factory: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_APP,
        flags=("--factory",),
        uvicorn="--factory",
        help="Call APP without arguments to get the application.",
    )
    app_dir: str = setting(
        "",
        kind=Kind.PATH,
        section=_APP,
        flags=("--app-dir",),
        uvicorn="--app-dir",
        help="Look for APP in this directory first; empty is the current directory.",
    )
    pythonpath: tuple[str, ...] = setting(
        (),
        kind=Kind.WORDS,
        section=_APP,
        flags=("--pythonpath",),
        gunicorn="pythonpath",
        help="Directories to add to the import path, comma separated.",
    )
    chdir: str = setting(
        "",
        kind=Kind.PATH,
        section=_APP,
        flags=("--chdir",),
        gunicorn="chdir",
        reach=_RESTART,
        help="Change to this directory before anything is imported.",
    )
    env_file: tuple[str, ...] = setting(
        (),
        kind=Kind.WORDS,
        section=_APP,
        flags=("--env-file",),
        uvicorn="--env-file",
        differs="May be given several times; a reload reads the files again.",
        help="Environment file for the application, NAME=VALUE lines; may be given several times.",
        more="Needs python-dotenv (pip install 'asgi-arbiter[dotenv]'). It is for the application: "
        "settings of the server are not read from it.",
    )
    raw_env: tuple[str, ...] = setting(
        (),
        kind=Kind.LINES,
        section=_APP,
        flags=("-e", "--env"),
        gunicorn="raw_env",
        help="Environment variable for the application, NAME=VALUE; may be given several times.",
    )
    interface: str = setting(
        "auto",
        kind=Kind.CHOICE,
        section=_APP,
        flags=("--interface",),
        uvicorn="--interface",
        choices=("auto", "asgi3", "asgi2", "wsgi"),
        help="The interface that the application implements.",
        more="WSGI needs a2wsgi (pip install 'asgi-arbiter[wsgi]').",
    )
    lifespan: str = setting(
        "auto",
        kind=Kind.CHOICE,
        section=_APP,
        flags=("--lifespan",),
        also=("--asgi-lifespan",),
        uvicorn="--lifespan",
        gunicorn="asgi_lifespan",
        choices=("auto", "on", "off"),
        help="Whether to run the ASGI lifespan; auto goes on without it if the application has none.",
    )
    lifespan_startup_timeout: float = setting(
        60.0,
        kind=Kind.SECONDS,
        section=_APP,
        flags=("--lifespan-startup-timeout",),
        help="How long the application's startup may take.",
        more="After that the worker fails to boot. 0 is no limit of its own; boot_timeout still holds.",
    )
    lifespan_shutdown_timeout: float = setting(
        30.0,
        kind=Kind.SECONDS,
        section=_APP,
        flags=("--lifespan-shutdown-timeout",),
        help="How long the application's shutdown may take after its requests are done.",
    )
    root_path: str = setting(
        "",
        kind=Kind.TEXT,
        section=_APP,
        flags=("--root-path",),
        uvicorn="--root-path",
        gunicorn="root_path",
        help="The ASGI root_path for an application that a proxy mounts below a path.",
    )
    reset_contextvars: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_APP,
        flags=("--reset-contextvars",),
        uvicorn="--reset-contextvars",
        help="Run each request in a fresh context, without what the lifespan set.",
    )
    preload_app: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_APP,
        flags=("--preload",),
        also=("--preload-app",),
        gunicorn="preload_app",
        help="Import the application once for each generation, before its workers are forked.",
        more="A process of its own, the mold, imports it (with the rights of `user`), freezes what it has, and forks the "
        "workers, which share that memory. A worker that is replaced comes from the mold and not from the files, so a "
        "half-finished deployment cannot reach it; SIGHUP makes a new mold from new code. Threads and event loops that "
        "the import starts do not survive the fork and are named in a warning; the lifespan runs in each worker.",
        differs="A process of its own imports the application; the arbiter never does.",
    )
    # ---------------------------------------------------------------------------------------------------- Sockets
    bind: tuple[str, ...] = setting(
        ("127.0.0.1:8000",),
        kind=Kind.BINDS,
        section=_SOCKETS,
        flags=("-b", "--bind"),
        uvicorn="--host, --port, --uds, --fd",
        gunicorn="bind",
        help="Listen on HOST:PORT, [IPv6]:PORT, :PORT, unix:PATH, unix:@NAME, fd://N or fd://NAME; may be given several times.",
        more="--host and --port, --uds, --fd are other ways to write one address; of these --fd wins over --uds and "
        "--uds over --host and --port. A later source replaces the addresses of an earlier one, except that a lone "
        "--port or --host changes only that part of a single TCP address. With PORT in the environment the default "
        "is 0.0.0.0:$PORT. Port 0 takes a free port. Sockets that systemd passes replace all addresses, unless one of "
        "these is fd://NAME: then each such address means the sockets with that FileDescriptorName=.",
        differs="uvicorn has one address only.",
    )
    backlog: int = setting(
        2048,
        kind=Kind.COUNT,
        section=_SOCKETS,
        flags=("--backlog",),
        uvicorn="--backlog",
        gunicorn="backlog",
        least=1,
        reach=_RESTART,
        help="How many connections the kernel may hold until they are accepted.",
    )
    reuse_port: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_SOCKETS,
        flags=("--reuse-port",),
        gunicorn="reuse_port",
        reach=_RESTART,
        help="Set SO_REUSEPORT on the listening sockets, so that several arbiters can share a port.",
        differs="One socket for each address, shared by all workers: a socket for each worker loses connections.",
    )
    uds_permissions: int | None = setting(
        None,
        kind=Kind.MODE,
        section=_SOCKETS,
        flags=("--uds-permissions",),
        most=0o777,
        reach=_RESTART,
        help="File mode of Unix sockets, octal; without it 666.",
    )
    uds_owner: str = setting(
        "",
        kind=Kind.TEXT,
        section=_SOCKETS,
        flags=("--uds-owner",),
        reach=_RESTART,
        help="Owner of Unix sockets: USER, USER:GROUP or :GROUP.",
    )
    # -------------------------------------------------------------------------------------------------- Processes
    workers: int = setting(
        1,
        kind=Kind.WORKERS,
        section=_PROCESSES,
        flags=("-w", "--workers"),
        uvicorn="--workers",
        gunicorn="workers",
        least=1,
        most=512,
        reach=_LIVE,
        help="Number of worker processes; auto is one for each CPU that this process may use.",
        more="auto obeys CPU affinity and the cgroup's quota. WEB_CONCURRENCY sets it too.",
        differs="uvicorn refuses it together with --reload.",
    )
    worker_class: str = setting(
        "",
        kind=Kind.TEXT,
        section=_PROCESSES,
        flags=("-k", "--worker-class"),
        gunicorn="worker_class",
        help="Accepted for gunicorn's command lines: asgi, or a worker class of uvicorn's or of ours.",
        more="An H11 class means http h11 and loop asyncio. Classes for WSGI (sync, gthread, gevent, tornado) are refused.",
        differs="There is one kind of worker; the value only has to name an ASGI one.",
    )
    worker_connections: int = setting(
        0,
        kind=Kind.COUNT,
        section=_PROCESSES,
        flags=("--worker-connections",),
        gunicorn="worker_connections",
        help="Open connections that a worker holds at most; above that it stops accepting. 0 is no limit.",
        differs="gunicorn's default is 1000, and its asgi worker does not enforce it.",
    )
    loop: str = setting(
        "auto",
        kind=Kind.NAME,
        section=_PROCESSES,
        flags=("--loop",),
        also=("--asgi-loop",),
        uvicorn="--loop",
        gunicorn="asgi_loop",
        choices=("auto", "asyncio", "uvloop"),
        spelled={"none": "asyncio", "zuvloop": "uvloop"},
        noted={"zuvloop": "zuvloop is not supported; uvloop is used"},
        help="The event loop; auto is uvloop where it is installed.",
    )
    # -------------------------------------------------------------------------------------------------- Recycling
    max_requests: int = setting(
        0,
        kind=Kind.COUNT,
        section=_RECYCLING,
        flags=("--max-requests",),
        also=("--limit-max-requests",),
        uvicorn="--limit-max-requests",
        gunicorn="max_requests",
        help="Replace a worker after this many requests; 0 is never.",
        differs="The successor serves before the worker leaves.",
    )
    max_requests_jitter: int = setting(
        0,
        kind=Kind.COUNT,
        section=_RECYCLING,
        flags=("--max-requests-jitter",),
        also=("--limit-max-requests-jitter",),
        uvicorn="--limit-max-requests-jitter",
        gunicorn="max_requests_jitter",
        help="Add a random number up to this to max_requests, so that workers do not leave together.",
    )
    max_worker_lifetime: float = setting(
        0.0,
        kind=Kind.SECONDS,
        section=_RECYCLING,
        flags=("--max-worker-lifetime",),
        also=("--workers-lifetime",),
        help="Replace a worker after this time; 0 is never.",
    )
    max_worker_lifetime_jitter: float = setting(
        0.0,
        kind=Kind.SECONDS,
        section=_RECYCLING,
        flags=("--max-worker-lifetime-jitter",),
        help="Add a random time up to this to max_worker_lifetime.",
    )
    min_worker_lifetime: float = setting(
        0.0,
        kind=Kind.SECONDS,
        section=_RECYCLING,
        flags=("--min-worker-lifetime",),
        help="Never recycle a worker younger than this, whatever limit it has reached.",
    )
    max_worker_memory: int = setting(
        0,
        kind=Kind.MEMORY,
        section=_RECYCLING,
        flags=("--max-worker-memory",),
        help="Replace a worker whose memory has grown beyond this; 0 is never.",
        more="A size (512M), or a share (20%) of what the container's cgroup allows, or else of what the machine has; "
        "each worker may have that much. With preload_app, memory that workers share counts in part (PSS), "
        "else what is resident (RSS).",
    )
    max_worker_memory_jitter: int = setting(
        0,
        kind=Kind.SIZE,
        section=_RECYCLING,
        flags=("--max-worker-memory-jitter",),
        help="Add a random size up to this to max_worker_memory.",
    )
    recycle_surge: int = setting(
        1,
        kind=Kind.COUNT,
        section=_RECYCLING,
        flags=("--recycle-surge",),
        least=1,
        reach=_LIVE,
        help="How many workers may be recycled at the same time.",
    )
    # ------------------------------------------------------------------------------------------------ Supervision
    timeout: float = setting(
        30.0,
        kind=Kind.SECONDS,
        section=_SUPERVISION,
        flags=("-t", "--timeout"),
        also=("--timeout-worker-healthcheck",),
        uvicorn="--timeout-worker-healthcheck",
        gunicorn="timeout",
        reach=_LIVE,
        help="Abort a worker whose event loop has not turned for this long; 0 is never.",
        differs="It limits a blocked event loop, not the length of a request. uvicorn's default is 5.",
    )
    boot_timeout: float = setting(
        120.0,
        kind=Kind.SECONDS,
        section=_SUPERVISION,
        flags=("--boot-timeout",),
        reach=_LIVE,
        help="How long a worker may take from its fork until it serves; 0 is no limit.",
    )
    settle_time: float = setting(
        1.0,
        kind=Kind.SECONDS,
        section=_SUPERVISION,
        flags=("--settle-time",),
        reach=_LIVE,
        help="How long the first new worker of a reload must serve before an old one leaves.",
        more="Whatever it is, a new worker that dies within a second of being ready rejects the reload.",
    )
    reload_surge: int = setting(
        1,
        kind=Kind.COUNT,
        section=_SUPERVISION,
        flags=("--reload-surge",),
        least=1,
        reach=_LIVE,
        help="How many workers more than wanted may live during a reload.",
    )
    max_restarts: int = setting(
        10,
        kind=Kind.COUNT,
        section=_SUPERVISION,
        flags=("--max-restarts",),
        reach=_LIVE,
        help="How many unexpected worker deaths within restart_window are answered at once; more are answered slowly.",
    )
    restart_window: float = setting(
        60.0,
        kind=Kind.SECONDS,
        section=_SUPERVISION,
        flags=("--restart-window",),
        reach=_LIVE,
        help="The time over which max_restarts counts.",
    )
    # --------------------------------------------------------------------------------------------------- Stopping
    graceful_timeout: float = setting(
        30.0,
        kind=Kind.SECONDS,
        section=_STOPPING,
        flags=("--graceful-timeout",),
        also=("--timeout-graceful-shutdown",),
        uvicorn="--timeout-graceful-shutdown",
        gunicorn="graceful_timeout",
        reach=_LIVE,
        help="How long a draining worker may take to finish its requests.",
        more="What is left then is cancelled, the lifespan shutdown runs, and the worker ends. 0 cancels at once.",
        differs="uvicorn's default is to wait for ever.",
    )
    quick_timeout: float = setting(
        5.0,
        kind=Kind.SECONDS,
        section=_STOPPING,
        flags=("--quick-timeout",),
        reach=_LIVE,
        help="The same after SIGINT (Ctrl-C) or SIGQUIT.",
    )
    kill_timeout: float = setting(
        5.0,
        kind=Kind.SECONDS,
        section=_STOPPING,
        flags=("--kill-timeout",),
        also=("--workers-kill-timeout",),
        reach=_LIVE,
        help="How long after graceful_timeout a worker that is still there is killed.",
    )
    abort_timeout: float = setting(
        2.0,
        kind=Kind.SECONDS,
        section=_STOPPING,
        flags=("--abort-timeout",),
        reach=_LIVE,
        help="How long an aborted worker may take to write its stacks before it is killed.",
    )
    drain_delay: float = setting(
        0.0,
        kind=Kind.SECONDS,
        section=_STOPPING,
        flags=("--drain-delay",),
        reach=_LIVE,
        help="Keep accepting for this long after SIGTERM, until load balancers have noticed.",
    )
    drain_linger: float = setting(
        1.0,
        kind=Kind.SECONDS,
        section=_STOPPING,
        flags=("--drain-linger",),
        help="How long a drain waits for a last request on an idle keep-alive connection before closing it.",
    )
    # --------------------------------------------------------------------------------------------------- Requests
    http: str = setting(
        "auto",
        kind=Kind.NAME,
        section=_REQUESTS,
        flags=("--http",),
        also=("--http-parser",),
        uvicorn="--http",
        gunicorn="http_parser",
        choices=("auto", "httptools", "h1c", "h11"),
        spelled={"fast": "httptools", "python": "h11", "zttp": "auto"},
        noted={"zttp": "zttp is not supported; the default parser is used"},
        help="The HTTP/1.1 parser; auto is the first of httptools, h1c (extra h1c) and h11 that is installed.",
    )
    keepalive: float = setting(
        5.0,
        kind=Kind.SECONDS,
        section=_REQUESTS,
        flags=("--keep-alive",),
        also=("--timeout-keep-alive",),
        keys=("keep_alive",),
        uvicorn="--timeout-keep-alive",
        gunicorn="keepalive",
        help="How long an idle connection is kept for its next request; 0 closes after each response.",
        differs="gunicorn's default is 2.",
    )
    header_timeout: float = setting(
        10.0,
        kind=Kind.SECONDS,
        section=_REQUESTS,
        flags=("--header-timeout",),
        help="How long a client may take to send the head of a request; 0 is no limit.",
    )
    body_timeout: float = setting(
        60.0,
        kind=Kind.SECONDS,
        section=_REQUESTS,
        flags=("--body-timeout",),
        help="How long a client may pause within a request body that the application waits for; 0 is no limit.",
    )
    body_min_rate: int = setting(
        240,
        kind=Kind.SIZE,
        section=_REQUESTS,
        flags=("--body-min-rate",),
        help="Bytes in each second, on average over body_timeout, that a client must send of a request body that the "
        "application waits for; 0 is no limit.",
    )
    write_timeout: float = setting(
        60.0,
        kind=Kind.SECONDS,
        section=_REQUESTS,
        flags=("--write-timeout",),
        help="How long a client may take nothing of a response, or of WebSocket messages, that wait for it; 0 is no limit.",
    )
    write_min_rate: int = setting(
        240,
        kind=Kind.SIZE,
        section=_REQUESTS,
        flags=("--write-min-rate",),
        help="Bytes in each second, on average over write_timeout, that a client must take of a response that waits for "
        "it (known on Linux, over TCP); 0 is no limit.",
    )
    request_timeout: float = setting(
        0.0,
        kind=Kind.SECONDS,
        section=_REQUESTS,
        flags=("--request-timeout",),
        also=("--timeout-request",),
        help="How long the application may take for a request; 0 is no limit.",
    )
    limit_request_line: int = setting(
        16384,
        kind=Kind.SIZE,
        section=_REQUESTS,
        flags=("--limit-request-line",),
        gunicorn="limit_request_line",
        help="Longest request line; 0 is no limit.",
        differs="gunicorn's default is 4094.",
    )
    limit_request_fields: int = setting(
        100,
        kind=Kind.COUNT,
        section=_REQUESTS,
        flags=("--limit-request-fields",),
        gunicorn="limit_request_fields",
        help="Most header fields of a request; 0 is no limit.",
    )
    limit_request_field_size: int = setting(
        16384,
        kind=Kind.SIZE,
        section=_REQUESTS,
        flags=("--limit-request-field_size",),
        also=("--limit-request-field-size",),
        gunicorn="limit_request_field_size",
        help="Longest header field of a request; 0 is no limit.",
        differs="gunicorn's default is 8190.",
    )
    limit_request_head: int = setting(
        65536,
        kind=Kind.SIZE,
        section=_REQUESTS,
        flags=("--limit-request-head",),
        also=("--h11-max-incomplete-event-size",),
        uvicorn="--h11-max-incomplete-event-size",
        help="Longest head of a request, request line and header fields together; 0 is no limit.",
        differs="Holds for both parsers; uvicorn's default is 16384 and for h11 only.",
    )
    limit_request_body: int = setting(
        0,
        kind=Kind.SIZE,
        section=_REQUESTS,
        flags=("--limit-request-body",),
        help="Longest request body, answered with 413 beyond; 0 is no limit.",
    )
    limit_concurrency: int = setting(
        0,
        kind=Kind.COUNT,
        section=_REQUESTS,
        flags=("--limit-concurrency",),
        uvicorn="--limit-concurrency",
        help="Requests that a worker handles at the same time; more are answered with 503. 0 is no limit.",
        differs="Counts requests and WebSockets under way, not idle connections.",
    )
    disconnect_grace_period: float = setting(
        0.0,
        kind=Kind.SECONDS,
        section=_REQUESTS,
        flags=("--disconnect-grace-period",),
        also=("--asgi-disconnect-grace-period",),
        gunicorn="asgi_disconnect_grace_period",
        help="Cancel a request this long after its client has gone; 0 is never.",
        differs="gunicorn's default is 3; uvicorn never cancels.",
    )
    server_header: bool = setting(
        True,
        kind=Kind.FLAG,
        section=_REQUESTS,
        flags=("--server-header",),
        uvicorn="--server-header / --no-server-header",
        help="Send a Server header.",
    )
    date_header: bool = setting(
        True,
        kind=Kind.FLAG,
        section=_REQUESTS,
        flags=("--date-header",),
        uvicorn="--date-header / --no-date-header",
        help="Send a Date header.",
    )
    headers: tuple[str, ...] = setting(
        (),
        kind=Kind.LINES,
        section=_REQUESTS,
        flags=("--header",),
        uvicorn="--header",
        help="Header for every response, NAME:VALUE; may be given several times.",
    )
    # ---------------------------------------------------------------------------------------------------- Proxies
    proxy_headers: bool = setting(
        True,
        kind=Kind.FLAG,
        section=_PROXIES,
        flags=("--proxy-headers",),
        uvicorn="--proxy-headers / --no-proxy-headers",
        help="Take scheme and client from the forwarding headers of trusted peers.",
    )
    forwarded_allow_ips: tuple[str, ...] = setting(
        ("127.0.0.1", "::1"),
        kind=Kind.WORDS,
        section=_PROXIES,
        flags=("--forwarded-allow-ips",),
        uvicorn="--forwarded-allow-ips",
        gunicorn="forwarded_allow_ips",
        help="Peers whose forwarding headers are believed: addresses, networks, names of Unix peers, or *.",
        more="FORWARDED_ALLOW_IPS in the environment sets it too.",
        differs="gunicorn takes only the scheme from them, not the client.",
    )
    secure_scheme_headers: tuple[tuple[str, str], ...] = setting(
        (("X-FORWARDED-PROTOCOL", "ssl"), ("X-FORWARDED-PROTO", "https"), ("X-FORWARDED-SSL", "on")),
        kind=Kind.PAIRS,
        section=_PROXIES,
        gunicorn="secure_scheme_headers",
        help="Headers, with the value, by which a trusted peer says that its client came by TLS.",
    )
    forwarder_headers: tuple[str, ...] = setting(
        ("SCRIPT_NAME", "PATH_INFO"),
        kind=Kind.WORDS,
        section=_PROXIES,
        flags=("--forwarder-headers",),
        gunicorn="forwarder_headers",
        inert="header_map treats all names with an underscore alike in this version",
        help="Header names with an underscore that trusted peers may send.",
    )
    header_map: str = setting(
        "drop",
        kind=Kind.CHOICE,
        section=_PROXIES,
        flags=("--header-map",),
        gunicorn="header_map",
        choices=("drop", "refuse", "dangerous"),
        help="What to do with header names that have an underscore: drop them, refuse the request, or pass them on.",
    )
    proxy_protocol: str = setting(
        "off",
        kind=Kind.CHOICE,
        section=_PROXIES,
        flags=("--proxy-protocol",),
        gunicorn="proxy_protocol",
        choices=("off", "v1", "v2", "auto"),
        spelled={"false": "off", "true": "auto"},
        bare="auto",
        help="Expect the PROXY protocol's preface from the peers in proxy_allow_ips.",
        more="It comes before TLS, and must come within handshake_timeout. Other peers are clients themselves.",
        differs="a peer in proxy_allow_ips that sends no preface is not served, because guessing would let its clients forge one.",
    )
    proxy_allow_ips: tuple[str, ...] = setting(
        ("127.0.0.1", "::1"),
        kind=Kind.WORDS,
        section=_PROXIES,
        flags=("--proxy-allow-from",),
        gunicorn="proxy_allow_ips",
        help="Peers that must send the PROXY preface, and are believed: addresses, networks, unix: or *.",
        differs="peers on Unix sockets are listed too, as unix:.",
    )
    # -------------------------------------------------------------------------------------------------- WebSocket
    ws: str = setting(
        "auto",
        kind=Kind.NAME,
        section=_WEBSOCKET,
        flags=("--ws",),
        uvicorn="--ws",
        choices=("auto", "none", "websockets", "wsproto"),
        spelled={"websockets-sansio": "websockets"},
        help="The WebSocket implementation; none answers upgrades as ordinary requests.",
    )
    ws_max_size: int = setting(
        16777216,
        kind=Kind.SIZE,
        section=_WEBSOCKET,
        flags=("--ws-max-size",),
        also=("--websocket-max-message-size",),
        uvicorn="--ws-max-size",
        gunicorn="websocket_max_message_size",
        help="Longest WebSocket message; 0 is no limit.",
    )
    ws_max_queue: int = setting(
        32,
        kind=Kind.COUNT,
        section=_WEBSOCKET,
        flags=("--ws-max-queue",),
        uvicorn="--ws-max-queue",
        least=1,
        help="Messages that may wait for the application before reading pauses.",
    )
    ws_ping_interval: float = setting(
        20.0,
        kind=Kind.SECONDS,
        section=_WEBSOCKET,
        flags=("--ws-ping-interval",),
        uvicorn="--ws-ping-interval",
        help="Time between pings to WebSocket clients; 0 sends none.",
    )
    ws_ping_timeout: float = setting(
        20.0,
        kind=Kind.SECONDS,
        section=_WEBSOCKET,
        flags=("--ws-ping-timeout",),
        uvicorn="--ws-ping-timeout",
        help="How long to wait for the answer to a ping; 0 is for ever.",
    )
    ws_per_message_deflate: bool = setting(
        True,
        kind=Kind.FLAG,
        section=_WEBSOCKET,
        flags=("--ws-per-message-deflate",),
        uvicorn="--ws-per-message-deflate",
        takes_value=True,
        help="Offer compression of WebSocket messages.",
    )
    ws_deflate_window_bits: int = setting(
        12,
        kind=Kind.COUNT,
        section=_WEBSOCKET,
        flags=("--ws-deflate-window-bits",),
        least=9,
        most=15,
        help="Largest window for that compression, both ways: 9 is 512 bytes, 15 is 32 KiB for each connection.",
    )
    ws_deflate_context_takeover: bool = setting(
        True,
        kind=Kind.FLAG,
        section=_WEBSOCKET,
        flags=("--ws-deflate-context-takeover",),
        help="Keep these windows from message to message: compresses better, and takes memory while a client is idle.",
    )
    # -------------------------------------------------------------------------------------------------------- TLS
    keyfile: str = setting(
        "",
        kind=Kind.PATH,
        section=_TLS,
        flags=("--keyfile",),
        also=("--ssl-keyfile",),
        uvicorn="--ssl-keyfile",
        gunicorn="keyfile",
        help="Private key for TLS.",
    )
    certfile: str = setting(
        "",
        kind=Kind.PATH,
        section=_TLS,
        flags=("--certfile",),
        also=("--ssl-certfile",),
        uvicorn="--ssl-certfile",
        gunicorn="certfile",
        help="Certificate chain for TLS; with it, all addresses speak TLS.",
        more=(
            "A reload (SIGHUP) reads certificates and keys anew: the pair is checked before anything else happens, and if "
            "something is wrong with it the reload is rejected and the old pair stays. Between reloads the files are not "
            "looked at, not even for a worker that takes the place of a dead one."
        ),
    )
    keyfile_password: str = setting(
        "",
        kind=Kind.TEXT,
        section=_TLS,
        flags=("--keyfile-password",),
        also=("--ssl-keyfile-password",),
        uvicorn="--ssl-keyfile-password",
        help="Password of the private key.",
        more="It also opens encrypted keys in ssl_sni_dir. It is never asked for on a terminal.",
    )
    ssl_sni_dir: str = setting(
        "",
        kind=Kind.PATH,
        section=_TLS,
        flags=("--ssl-sni-dir",),
        help="Folder of certificates for further host names, chosen by the name that a client asks for (SNI).",
        more=(
            "For each name NAME/fullchain.pem with NAME/privkey.pem (certbot's /etc/letsencrypt/live as it is), NAME.pem "
            "with both, or NAME.crt with NAME.key; _.example.org or *.example.org is a wildcard for one label. The exact "
            "name wins, then the wildcard, then certfile; without certfile, clients that ask for another name or for none "
            "are refused. All are read and checked at the start and at each reload, never later."
        ),
    )
    ca_certs: str = setting(
        "",
        kind=Kind.PATH,
        section=_TLS,
        flags=("--ca-certs",),
        also=("--ssl-ca-certs",),
        uvicorn="--ssl-ca-certs",
        gunicorn="ca_certs",
        help="Authorities that client certificates are checked against.",
    )
    ssl_crl: str = setting(
        "",
        kind=Kind.PATH,
        section=_TLS,
        flags=("--ssl-crl",),
        help="Revocation lists for client certificates, in PEM form.",
        more="A client whose certificate comes from an authority without a list in the file is refused.",
    )
    cert_reqs: int = setting(
        0,
        kind=Kind.COUNT,
        section=_TLS,
        flags=("--cert-reqs",),
        also=("--ssl-cert-reqs",),
        uvicorn="--ssl-cert-reqs",
        gunicorn="cert_reqs",
        most=2,
        numbered={"none": 0, "optional": 1, "required": 2},
        help="Whether clients must show a certificate: none (0), optional (1) or required (2).",
    )
    ssl_version: int = setting(
        17,
        kind=Kind.COUNT,
        section=_TLS,
        flags=("--ssl-version",),
        uvicorn="--ssl-version",
        gunicorn="ssl_version",
        most=17,
        numbered={"tls": 2, "sslv23": 2, "tls_server": 17, "tlsv1": 3, "tlsv1_1": 4, "tlsv1_2": 5},
        help="Protocol number of Python's ssl module; 17 negotiates the best version.",
        differs="gunicorn's 2, which is where it begins, means the same as 17.",
    )
    ssl_min_version: str = setting(
        "1.2",
        kind=Kind.CHOICE,
        section=_TLS,
        flags=("--ssl-min-version",),
        choices=("1.2", "1.3"),
        spelled={
            "tls1.2": "1.2",
            "tlsv1.2": "1.2",
            "tlsv1_2": "1.2",
            "tls1.3": "1.3",
            "tlsv1.3": "1.3",
            "tlsv1_3": "1.3",
        },
        help="Lowest version of TLS that is spoken.",
    )
    ciphers: str = setting(
        "",
        kind=Kind.TEXT,
        section=_TLS,
        flags=("--ciphers",),
        also=("--ssl-ciphers",),
        uvicorn="--ssl-ciphers",
        gunicorn="ciphers",
        help="Ciphers in OpenSSL's notation; empty is OpenSSL's own choice.",
    )
    handshake_timeout: float = setting(
        10.0,
        kind=Kind.SECONDS,
        section=_TLS,
        flags=("--handshake-timeout",),
        help="How long a TLS handshake may take, and the PROXY preface before it.",
    )
    # ---------------------------------------------------------------------------------------------------- Logging
    log_level: str = setting(
        "info",
        kind=Kind.CHOICE,
        section=_LOGGING,
        flags=("--log-level",),
        uvicorn="--log-level",
        gunicorn="loglevel",
        choices=("critical", "error", "warning", "info", "debug", "trace"),
        spelled={
            "warn": "warning",
            "fatal": "critical",
            "50": "critical",
            "40": "error",
            "30": "warning",
            "20": "info",
            "10": "debug",
            "5": "trace",
        },
        reach=_LIVE,
        help="How much the server logs.",
    )
    access_log: bool = setting(
        True,
        kind=Kind.FLAG,
        section=_LOGGING,
        flags=("--access-log",),
        uvicorn="--access-log / --no-access-log",
        help="Log every request.",
        differs="gunicorn's is off by default.",
    )
    access_logfile: str = setting(
        "-",
        kind=Kind.PATH,
        section=_LOGGING,
        flags=("--access-logfile",),
        gunicorn="accesslog",
        help="File of the access log; - is standard output.",
        differs="gunicorn's default is none; --no-access-log is that here.",
    )
    access_log_format: str = setting(
        "",
        kind=Kind.TEXT,
        section=_LOGGING,
        flags=("--access-logformat",),
        also=("--access-log-format",),
        gunicorn="access_log_format",
        help="Format of the access log in gunicorn's atoms, such as %(h)s %(r)s %(s)s %(D)s; empty is our own.",
    )
    error_logfile: str = setting(
        "-",
        kind=Kind.PATH,
        section=_LOGGING,
        flags=("--error-logfile", "--log-file"),
        gunicorn="errorlog",
        help="File of the server's log; - is standard error.",
    )
    log_format: str = setting(
        "text",
        kind=Kind.CHOICE,
        section=_LOGGING,
        flags=("--log-format",),
        choices=("text", "json"),
        help="Whether log lines are text or JSON objects.",
    )
    log_config: str = setting(
        "",
        kind=Kind.PATH,
        section=_LOGGING,
        flags=("--log-config",),
        also=("--log-config-json",),
        keys=("logconfig_json",),
        uvicorn="--log-config",
        gunicorn="logconfig",
        help="Configuration file of Python's logging: .json, .yaml, or else .ini.",
        more="YAML needs PyYAML (pip install 'asgi-arbiter[yaml]').",
    )
    use_colors: bool | None = setting(
        None,
        kind=Kind.MAYBE,
        section=_LOGGING,
        flags=("--use-colors",),
        uvicorn="--use-colors / --no-use-colors",
        help="Colour log lines; without it, where they go to a terminal.",
    )
    capture_output: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_LOGGING,
        flags=("--capture-output",),
        gunicorn="capture_output",
        help="Send what workers print into the server's log.",
    )
    # --------------------------------------------------------------------------------------------------- Identity
    pidfile: str = setting(
        "",
        kind=Kind.PATH,
        section=_IDENTITY,
        flags=("-p", "--pid"),
        also=("--pidfile",),
        gunicorn="pidfile",
        reach=_RESTART,
        help="File for the arbiter's process id.",
    )
    daemon: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_IDENTITY,
        flags=("-D", "--daemon"),
        gunicorn="daemon",
        reach=_RESTART,
        help="Detach from the terminal and run in the background.",
    )
    user: str = setting(
        "",
        kind=Kind.TEXT,
        section=_IDENTITY,
        flags=("-u", "--user"),
        gunicorn="user",
        help="Run workers as this user, name or number.",
    )
    group: str = setting(
        "",
        kind=Kind.TEXT,
        section=_IDENTITY,
        flags=("-g", "--group"),
        gunicorn="group",
        help="Run workers in this group, name or number.",
    )
    initgroups: bool = setting(
        True,
        kind=Kind.FLAG,
        section=_IDENTITY,
        flags=("--initgroups",),
        gunicorn="initgroups",
        help="Give workers all the groups of their user.",
        differs="gunicorn's is off by default.",
    )
    umask: int | None = setting(
        None,
        kind=Kind.MODE,
        section=_IDENTITY,
        flags=("-m", "--umask"),
        gunicorn="umask",
        most=0o777,
        reach=_RESTART,
        help="Mask for the modes of new files, octal; without it the inherited one.",
        differs="gunicorn's default is 0, and it reads digits without a leading zero as decimal.",
    )
    proc_name: str = setting(
        "",
        kind=Kind.TEXT,
        section=_IDENTITY,
        flags=("-n", "--name"),
        gunicorn="proc_name",
        help="Name in the process list instead of APP.",
    )
    # ------------------------------------------------------------------------------------------------ Development
    reload: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_DEVELOPMENT,
        flags=("--reload",),
        uvicorn="--reload",
        gunicorn="reload",
        reach=_RESTART,
        help="Start new workers when source files change.",
        more="For development: unless they are set too, timeout and drain_linger are then 0, quick_timeout is 0.5, "
        "graceful_timeout is 5 and kill_timeout is 1. Files are watched by watchfiles where that is installed "
        "(pip install 'asgi-arbiter[reload]') and polled otherwise.",
        differs="Works with several workers too.",
    )
    reload_dirs: tuple[str, ...] = setting(
        (),
        kind=Kind.WORDS,
        section=_DEVELOPMENT,
        flags=("--reload-dir",),
        uvicorn="--reload-dir",
        reach=_RESTART,
        help="Directory to watch instead of the current one; may be given several times.",
    )
    reload_includes: tuple[str, ...] = setting(
        (),
        kind=Kind.WORDS,
        section=_DEVELOPMENT,
        flags=("--reload-include",),
        also=("--reload-extra-file",),
        uvicorn="--reload-include",
        gunicorn="reload_extra_files",
        reach=_RESTART,
        help="Pattern of files to watch beside *.py, or a directory all of whose files count; may be given several times.",
        differs="Holds for polling too. A directory is watched beside the others, and all that is in it counts.",
    )
    reload_excludes: tuple[str, ...] = setting(
        (),
        kind=Kind.WORDS,
        section=_DEVELOPMENT,
        flags=("--reload-exclude",),
        uvicorn="--reload-exclude",
        reach=_RESTART,
        help="Pattern of files not to watch; may be given several times.",
    )
    reload_delay: float = setting(
        0.25,
        kind=Kind.SECONDS,
        section=_DEVELOPMENT,
        flags=("--reload-delay",),
        uvicorn="--reload-delay",
        reach=_RESTART,
        help="Time between two looks at the files.",
    )
    # ------------------------------------------------------------------------------------------------------ Hooks
    on_starting: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="on_starting",
        reach=_LIVE,
        help="Called as on_starting(arbiter) in the arbiter, before anything is set up.",
    )
    on_reload: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="on_reload",
        reach=_LIVE,
        help="Called as on_reload(arbiter) in the arbiter, during a reload, after the settings were read.",
    )
    when_ready: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="when_ready",
        reach=_LIVE,
        help="Called as when_ready(arbiter) in the arbiter, when it listens and before the first fork.",
    )
    pre_fork: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="pre_fork",
        reach=_LIVE,
        help="Called as pre_fork(arbiter, worker) in the arbiter, before each fork.",
    )
    post_fork: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="post_fork",
        reach=_WORKERS,
        help="Called as post_fork(arbiter, worker) in the worker, after its fork.",
    )
    post_worker_init: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="post_worker_init",
        reach=_WORKERS,
        help="Called as post_worker_init(worker) in the worker, when the application is imported.",
    )
    worker_int: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="worker_int",
        reach=_WORKERS,
        help="Called as worker_int(worker) in the worker, at SIGINT or SIGQUIT.",
    )
    worker_abort: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="worker_abort",
        reach=_WORKERS,
        help="Called as worker_abort(worker) in the worker, at SIGABRT.",
    )
    pre_exec: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="pre_exec",
        reach=_LIVE,
        help="Called as pre_exec(arbiter) in the arbiter, before it executes its successor.",
    )
    child_exit: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="child_exit",
        reach=_LIVE,
        help="Called as child_exit(arbiter, worker) in the arbiter, after it has reaped a worker.",
    )
    worker_exit: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="worker_exit",
        reach=_WORKERS,
        help="Called as worker_exit(arbiter, worker) in the worker, at its end.",
    )
    nworkers_changed: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="nworkers_changed",
        reach=_LIVE,
        help="Called as nworkers_changed(arbiter, new, old) in the arbiter, when the wished number of workers has changed.",
    )
    on_exit: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="on_exit",
        reach=_LIVE,
        help="Called as on_exit(arbiter) in the arbiter, before it exits.",
    )
    pre_request: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="pre_request",
        reach=_WORKERS,
        help="Called as pre_request(worker, request) in the worker, before each HTTP request.",
    )
    post_request: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="post_request",
        reach=_WORKERS,
        help="Called as post_request(worker, request, environ, response) in the worker, after each HTTP request.",
    )
    ssl_context: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        gunicorn="ssl_context",
        reach=_WORKERS,
        help="Called as ssl_context(config, default_factory) in the worker, to make the TLS context.",
        more=(
            "default_factory() gives the context that the TLS settings describe, with the certificates as they were when the "
            "generation of workers began. Files that the hook reads itself are read by each new worker."
        ),
    )
    worker_ready: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        reach=_LIVE,
        help="Called as worker_ready(arbiter, worker) in the arbiter, when a worker serves.",
    )
    worker_retiring: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        reach=_LIVE,
        help="Called as worker_retiring(arbiter, worker, reason) in the arbiter, when a worker wants to be replaced.",
    )
    reload_finished: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        reach=_LIVE,
        help="Called as reload_finished(result) in the arbiter, when a reload was promoted or rejected.",
    )
    on_timeout: str = setting(
        "",
        kind=Kind.HOOK,
        section=_HOOKS,
        reach=_LIVE,
        help="Called as on_timeout(arbiter, worker, stacks) in the arbiter, when a worker is aborted for silence.",
    )
    # ---------------------------------------------------------------------------------------------- Compatibility
    threads: int = setting(
        1,
        kind=Kind.COUNT,
        section=_COMPATIBILITY,
        flags=("--threads",),
        gunicorn="threads",
        inert="an ASGI worker runs one event loop; threads belong to the application",
        help="Threads of gunicorn's gthread worker.",
    )
    paste: str = setting(
        "",
        kind=Kind.PATH,
        section=_COMPATIBILITY,
        flags=("--paste", "--paster"),
        gunicorn="paste",
        inert=_PASTE,
        help="Application from a Paste file.",
    )
    raw_paste_global_conf: tuple[str, ...] = setting(
        (),
        kind=Kind.LINES,
        section=_COMPATIBILITY,
        flags=("--paste-global",),
        gunicorn="raw_paste_global_conf",
        inert=_PASTE,
        help="Variables for a Paste file.",
    )
    spew: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--spew",),
        gunicorn="spew",
        inert="tracing every line is what a debugger is for",
        help="Trace every executed line.",
    )
    tmp_upload_dir: str = setting(
        "",
        kind=Kind.PATH,
        section=_COMPATIBILITY,
        gunicorn="tmp_upload_dir",
        inert=_WSGI_UPLOAD,
        help="Directory for request bodies.",
    )
    worker_tmp_dir: str = setting(
        "",
        kind=Kind.PATH,
        section=_COMPATIBILITY,
        flags=("--worker-tmp-dir",),
        gunicorn="worker_tmp_dir",
        inert="the heartbeat is in shared memory, no file is written",
        help="Directory of the heartbeat files.",
    )
    sendfile: bool = setting(
        True,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--sendfile",),
        gunicorn="sendfile",
        inert="it concerns WSGI's file wrapper, which ASGI does not have",
        help="Use sendfile for WSGI's file wrapper.",
    )
    reload_engine: str = setting(
        "auto",
        kind=Kind.CHOICE,
        section=_COMPATIBILITY,
        flags=("--reload-engine",),
        gunicorn="reload_engine",
        choices=("auto", "poll", "inotify"),
        inert="watchfiles is used where it is installed, otherwise the files are polled",
        help="How gunicorn watches files.",
    )
    logger_class: str = setting(
        "",
        kind=Kind.TEXT,
        section=_COMPATIBILITY,
        flags=("--logger-class",),
        gunicorn="logger_class",
        inert="logging is Python's own; configure it with log_config",
        help="Class of gunicorn's logger.",
    )
    logconfig_dict: tuple[tuple[str, str], ...] = setting(
        (),
        kind=Kind.TABLE,
        section=_COMPATIBILITY,
        gunicorn="logconfig_dict",
        inert="only in gunicorn.conf.py, where it is obeyed; elsewhere name a JSON file as log_config",
        help="Logging configuration as a dictionary.",
    )
    enable_stdio_inheritance: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("-R", "--enable-stdio-inheritance"),
        gunicorn="enable_stdio_inheritance",
        inert="workers always inherit the standard streams",
        help="Let workers inherit the standard streams.",
    )
    default_proc_name: str = setting(
        "",
        kind=Kind.TEXT,
        section=_COMPATIBILITY,
        gunicorn="default_proc_name",
        inert="the process is named by proc_name or after the application",
        help="gunicorn's internal name for the process.",
    )
    syslog: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--log-syslog",),
        gunicorn="syslog",
        inert=_SYSLOG,
        help="Send the log to syslog.",
    )
    syslog_addr: str = setting(
        "",
        kind=Kind.TEXT,
        section=_COMPATIBILITY,
        flags=("--log-syslog-to",),
        gunicorn="syslog_addr",
        inert=_SYSLOG,
        help="Address of syslog.",
    )
    syslog_prefix: str = setting(
        "",
        kind=Kind.TEXT,
        section=_COMPATIBILITY,
        flags=("--log-syslog-prefix",),
        gunicorn="syslog_prefix",
        inert=_SYSLOG,
        help="Prefix of syslog lines.",
    )
    syslog_facility: str = setting(
        "user",
        kind=Kind.TEXT,
        section=_COMPATIBILITY,
        flags=("--log-syslog-facility",),
        gunicorn="syslog_facility",
        inert=_SYSLOG,
        help="Facility of syslog lines.",
    )
    disable_redirect_access_to_syslog: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--disable-redirect-access-to-syslog",),
        gunicorn="disable_redirect_access_to_syslog",
        inert=_SYSLOG,
        help="Keep the access log out of syslog.",
    )
    statsd_host: str = setting(
        "",
        kind=Kind.TEXT,
        section=_COMPATIBILITY,
        flags=("--statsd-host",),
        gunicorn="statsd_host",
        inert=_STATSD,
        help="Address of a statsd server.",
    )
    statsd_prefix: str = setting(
        "",
        kind=Kind.TEXT,
        section=_COMPATIBILITY,
        flags=("--statsd-prefix",),
        gunicorn="statsd_prefix",
        inert=_STATSD,
        help="Prefix of statsd names.",
    )
    dogstatsd_tags: str = setting(
        "",
        kind=Kind.TEXT,
        section=_COMPATIBILITY,
        flags=("--dogstatsd-tags",),
        gunicorn="dogstatsd_tags",
        inert=_STATSD,
        help="Tags for statsd.",
    )
    enable_backlog_metric: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--enable-backlog-metric",),
        gunicorn="enable_backlog_metric",
        inert=_STATSD,
        help="Send the length of the accept queue to statsd.",
    )
    control_socket: str = setting(
        "",
        kind=Kind.PATH,
        section=_COMPATIBILITY,
        flags=("--control-socket",),
        gunicorn="control_socket",
        inert=_CONTROL,
        help="gunicorn's control socket.",
    )
    control_socket_mode: int | None = setting(
        None,
        kind=Kind.MODE,
        section=_COMPATIBILITY,
        flags=("--control-socket-mode",),
        gunicorn="control_socket_mode",
        inert=_CONTROL,
        help="Mode of the control socket.",
    )
    control_socket_disable: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--no-control-socket",),
        gunicorn="control_socket_disable",
        negatable=False,
        inert="there is none in any case",
        help="Do without a control socket.",
    )
    http2: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--http2",),
        uvicorn="--http2",
        inert=_HTTP2,
        help="Serve HTTP/2.",
    )
    http_protocols: tuple[str, ...] = setting(
        ("h1",),
        kind=Kind.WORDS,
        section=_COMPATIBILITY,
        flags=("--http-protocols",),
        gunicorn="http_protocols",
        inert=_HTTP2,
        help="HTTP versions to offer.",
    )
    http2_cleartext: str = setting(
        "off",
        kind=Kind.TEXT,
        section=_COMPATIBILITY,
        flags=("--http2-cleartext",),
        gunicorn="http2_cleartext",
        inert=_HTTP2,
        help="HTTP/2 without TLS.",
    )
    http2_max_concurrent_streams: int = setting(
        100,
        kind=Kind.COUNT,
        section=_COMPATIBILITY,
        flags=("--http2-max-concurrent-streams",),
        gunicorn="http2_max_concurrent_streams",
        inert=_HTTP2,
        help="HTTP/2 streams on a connection.",
    )
    http2_initial_window_size: int = setting(
        65535,
        kind=Kind.SIZE,
        section=_COMPATIBILITY,
        flags=("--http2-initial-window-size",),
        gunicorn="http2_initial_window_size",
        inert=_HTTP2,
        help="HTTP/2 flow control window.",
    )
    http2_max_frame_size: int = setting(
        16384,
        kind=Kind.SIZE,
        section=_COMPATIBILITY,
        flags=("--http2-max-frame-size",),
        gunicorn="http2_max_frame_size",
        inert=_HTTP2,
        help="Longest HTTP/2 frame.",
    )
    http2_max_header_list_size: int = setting(
        65536,
        kind=Kind.SIZE,
        section=_COMPATIBILITY,
        flags=("--http2-max-header-list-size",),
        gunicorn="http2_max_header_list_size",
        inert=_HTTP2,
        help="Longest HTTP/2 header list.",
    )
    protocol: str = setting(
        "http",
        kind=Kind.CHOICE,
        section=_COMPATIBILITY,
        flags=("--protocol",),
        gunicorn="protocol",
        choices=("http", "uwsgi"),
        inert="uWSGI's binary protocol is not spoken; let the proxy speak HTTP",
        help="http, or uWSGI's binary protocol.",
    )
    uwsgi_allow_ips: tuple[str, ...] = setting(
        ("127.0.0.1", "::1"),
        kind=Kind.WORDS,
        section=_COMPATIBILITY,
        flags=("--uwsgi-allow-from",),
        gunicorn="uwsgi_allow_ips",
        inert="uWSGI's binary protocol is not spoken",
        help="Peers that may speak uWSGI's protocol.",
    )
    suppress_ragged_eofs: bool = setting(
        True,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--suppress-ragged-eofs",),
        gunicorn="suppress_ragged_eofs",
        inert="asyncio treats such an end as a disconnect in any case",
        help="Ignore a TLS end without closing alert.",
    )
    do_handshake_on_connect: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--do-handshake-on-connect",),
        gunicorn="do_handshake_on_connect",
        inert="asyncio does the handshake at once in any case",
        help="Do the TLS handshake at once.",
    )
    permit_obsolete_folding: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--permit-obsolete-folding",),
        gunicorn="permit_obsolete_folding",
        inert=_STRICT,
        help="Accept folded header lines.",
    )
    strip_header_spaces: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--strip-header-spaces",),
        gunicorn="strip_header_spaces",
        inert=_STRICT,
        help="Accept spaces before a header's colon.",
    )
    permit_unconventional_http_method: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--permit-unconventional-http-method",),
        gunicorn="permit_unconventional_http_method",
        inert=_STRICT,
        help="Accept unusual method names.",
    )
    permit_unconventional_http_version: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--permit-unconventional-http-version",),
        gunicorn="permit_unconventional_http_version",
        inert=_STRICT,
        help="Accept other HTTP versions.",
    )
    casefold_http_method: bool = setting(
        False,
        kind=Kind.FLAG,
        section=_COMPATIBILITY,
        flags=("--casefold-http-method",),
        gunicorn="casefold_http_method",
        inert=_STRICT,
        help="Turn method names into upper case.",
    )
    dirty_apps: tuple[str, ...] = setting(
        (),
        kind=Kind.WORDS,
        section=_COMPATIBILITY,
        flags=("--dirty-app",),
        gunicorn="dirty_apps",
        inert=_DIRTY,
        help="Applications of gunicorn's dirty pool.",
    )
    dirty_workers: int = setting(
        0,
        kind=Kind.COUNT,
        section=_COMPATIBILITY,
        flags=("--dirty-workers",),
        gunicorn="dirty_workers",
        inert=_DIRTY,
        help="Workers of gunicorn's dirty pool.",
    )
    dirty_timeout: float = setting(
        300.0,
        kind=Kind.SECONDS,
        section=_COMPATIBILITY,
        flags=("--dirty-timeout",),
        gunicorn="dirty_timeout",
        inert=_DIRTY,
        help="Timeout of gunicorn's dirty pool.",
    )
    dirty_threads: int = setting(
        1,
        kind=Kind.COUNT,
        section=_COMPATIBILITY,
        flags=("--dirty-threads",),
        gunicorn="dirty_threads",
        inert=_DIRTY,
        help="Threads of gunicorn's dirty pool.",
    )
    dirty_graceful_timeout: float = setting(
        30.0,
        kind=Kind.SECONDS,
        section=_COMPATIBILITY,
        flags=("--dirty-graceful-timeout",),
        gunicorn="dirty_graceful_timeout",
        inert=_DIRTY,
        help="Stop timeout of gunicorn's dirty pool.",
    )
    on_dirty_starting: str = setting(
        "",
        kind=Kind.HOOK,
        section=_COMPATIBILITY,
        gunicorn="on_dirty_starting",
        inert=_DIRTY,
        help="Hook of gunicorn's dirty pool.",
    )
    dirty_post_fork: str = setting(
        "",
        kind=Kind.HOOK,
        section=_COMPATIBILITY,
        gunicorn="dirty_post_fork",
        inert=_DIRTY,
        help="Hook of gunicorn's dirty pool.",
    )
    dirty_worker_init: str = setting(
        "",
        kind=Kind.HOOK,
        section=_COMPATIBILITY,
        gunicorn="dirty_worker_init",
        inert=_DIRTY,
        help="Hook of gunicorn's dirty pool.",
    )
    dirty_worker_exit: str = setting(
        "",
        kind=Kind.HOOK,
        section=_COMPATIBILITY,
        gunicorn="dirty_worker_exit",
        inert=_DIRTY,
        help="Hook of gunicorn's dirty pool.",
    )

    # -------------------------------------------------------------------------------------------------- questions

    @property
    def addresses(self) -> tuple[Address, ...]:
        """``bind``, parsed. Raises ``InvalidSetting`` for an address that is none."""
        return tuple(Address.parse(text) for text in self.bind)

    @property
    def speaks_tls(self) -> bool:
        """Whether connections are encrypted."""
        return bool(self.certfile or self.ssl_sni_dir or self.ssl_context)

    def changed_from(self, other: Config) -> list[tuple[str, Reach]]:
        """The names of the settings whose values differ from ``other``'s, in the order of the table, each with how
        far the change must travel. Settings without effect are left out."""
        return [
            (name, option.reach)
            for name, option in options().items()
            if not option.inert and getattr(self, name) != getattr(other, name)
        ]

    def describe(self) -> list[tuple[str, str]]:
        """Every setting with its value as it would be written in a TOML file; the key's password is masked."""
        rows = []
        for name, option in options().items():
            value = toml_value(getattr(self, name), kind=option.kind)
            rows.append((name, '"***"' if name == "keyfile_password" and self.keyfile_password else value))
        return rows


@cache
def options() -> dict[str, Option]:
    """The metadata of every setting by its name, in the order of the manual."""
    return {name: entry.option for name, entry in defaults_of(Config).items()}


ADDRESS_PARTS = ("host", "port", "uds", "fd")
"""uvicorn's four ways to write one address; together they make ``bind``."""


@cache
def names() -> dict[str, str]:
    """Every name under which a setting may stand in a file or a variable, with the setting's own name."""
    return {word: name for name, option in options().items() for word in option.names(name)}


@cache
def defaults() -> dict[str, Any]:
    """Every setting's default."""
    return {name: entry.make() for name, entry in defaults_of(Config).items()}
