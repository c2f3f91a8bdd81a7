"""Rules between settings: small functions, each looks at the whole and returns a complaint or nothing.

A fatal complaint is an impossible combination; the others are combinations in which something has no effect, which the
other servers accept silently and which therefore only earn a warning. A complaint names the settings that it is about,
so that the message can begin with where they were written. The only look outside is whether named directories exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from .address import AddressKind
from .errors import InvalidSetting
from .records import Record
from .settings import Config

__all__ = ["RULES", "WORKER_CLASSES", "WSGI_CLASSES", "Complaint", "check", "wants_h11"]


class Complaint(Record):
    """What is wrong, about which settings, and whether the program can start all the same."""

    about: tuple[str, ...]
    text: str
    fatal: bool = True


Given = Collection[str]
"""The names of the settings that were set by any source."""
Rule = Callable[[Config, Given], Complaint | None]


def check(config: Config, given: Given) -> Iterator[Complaint]:
    """All complaints, in the order of the rules."""
    for rule in RULES:
        if complaint := rule(config, given):
            yield complaint


WORKER_CLASSES = (
    r"(asgi|uvicorn|uvicorn\.workers\.Uvicorn(H11)?Worker|uvicorn_worker(\._workers)?\.Uvicorn(H11)?Worker"
    r"|asgi_arbiter\.gunicorn\.Arbiter(H11)?Worker)"
)
"""A pattern: the values of ``worker_class`` that name an ASGI worker, which is the one kind that there is."""
WSGI_CLASSES = {"sync", "gthread", "gevent", "eventlet", "tornado", "gevent_wsgi", "gevent_pywsgi"}
"""gunicorn's own classes that run something else."""


def wants_h11(worker_class: str) -> bool:
    """Whether the class is one of those for PyPy, which mean http h11 and loop asyncio."""
    return bool(re.fullmatch(WORKER_CLASSES, worker_class)) and "H11" in worker_class


def _worker_class_runs_asgi(config: Config, given: Given) -> Complaint | None:
    name = config.worker_class
    if not name or re.fullmatch(WORKER_CLASSES, name):
        return None
    if name in WSGI_CLASSES:
        why = f'"{name}" runs WSGI applications and asgi-arbiter runs ASGI ones; for WSGI use --interface wsgi instead'
    else:
        why = f'"{name}" is not known; asgi-arbiter has one kind of worker: leave the setting out, and write what the class configures as settings'
    return Complaint(("worker_class",), why)


def _key_needs_certificate(config: Config, given: Given) -> Complaint | None:
    if config.keyfile and not config.certfile:
        return Complaint(("keyfile",), "a private key without a certificate; set certfile too")
    return None


def _client_certificates_need_tls(config: Config, given: Given) -> Complaint | None:
    if config.cert_reqs and not config.speaks_tls:
        return Complaint(("cert_reqs",), "client certificates need TLS; set certfile too")
    if config.cert_reqs and not config.ca_certs:
        return Complaint(
            ("cert_reqs",), "client certificates cannot be checked without authorities; set ca_certs too", fatal=False
        )
    return None


def _password_needs_key(config: Config, given: Given) -> Complaint | None:
    if config.keyfile_password and not (config.keyfile or config.certfile or config.ssl_sni_dir):
        return Complaint(("keyfile_password",), "has no effect without keyfile", fatal=False)
    return None


def _revocation_lists_are_for_client_certificates(config: Config, given: Given) -> Complaint | None:
    if config.ssl_crl and not config.cert_reqs:
        return Complaint(("ssl_crl",), "has no effect without cert_reqs", fatal=False)
    return None


def _reload_stays_in_the_foreground(config: Config, given: Given) -> Complaint | None:
    if config.reload and config.daemon:
        return Complaint(("daemon", "reload"), "reload is for development and daemon for production; choose one")
    return None


def _watched_directories_exist(config: Config, given: Given) -> Complaint | None:
    if not config.reload:
        return None
    missing = [path for path in config.reload_dirs if not Path(config.chdir, path).is_dir()]
    if not missing:
        return None
    named = ", ".join(f'"{path}"' for path in missing)
    instead = "; the current directory is watched instead" if len(missing) == len(config.reload_dirs) else ""
    return Complaint(("reload_dirs",), f"there is no directory {named}{instead}", fatal=False)


def _watching_needs_reload(config: Config, given: Given) -> Complaint | None:
    if config.reload or "reload" in given:  # a file may say: reload = DEBUG
        return None
    for name in ("reload_dirs", "reload_includes", "reload_excludes"):
        if getattr(config, name):
            return Complaint((name,), "has no effect without reload", fatal=False)
    return None


def _pidfile_is_no_port(config: Config, given: Given) -> Complaint | None:
    if re.fullmatch("[0-9]+", config.pidfile):
        text = f"writes the process id into a file named {config.pidfile}; a port is --port {config.pidfile}"
        return Complaint(("pidfile",), text, fatal=False)
    return None


def _daemon_needs_a_log(config: Config, given: Given) -> Complaint | None:
    if config.daemon and config.error_logfile == "-" and not config.log_config:
        return Complaint(("daemon",), "the log goes nowhere without a terminal; set error_logfile", fatal=False)
    return None


def _reuse_port_is_for_tcp(config: Config, given: Given) -> Complaint | None:
    if config.reuse_port and all(address.kind is AddressKind.UNIX for address in config.addresses):
        return Complaint(("reuse_port",), "has no effect on Unix sockets, and nothing else is bound", fatal=False)
    return None


def _socket_files_need_a_unix_address(config: Config, given: Given) -> Complaint | None:
    for name in ("uds_permissions", "uds_owner"):
        if getattr(config, name) in (None, ""):
            continue
        if not any(each.kind is AddressKind.UNIX and each.path[0] != "@" for each in config.addresses):
            return Complaint((name,), "has no effect without a Unix socket file in bind", fatal=False)
    return None


def _jitter_needs_a_limit(config: Config, given: Given) -> Complaint | None:
    for name in ("max_requests", "max_worker_lifetime", "max_worker_memory"):
        if getattr(config, f"{name}_jitter") and not getattr(config, name):
            return Complaint((f"{name}_jitter",), f"has no effect without {name}", fatal=False)
    return None


def _lifetimes_are_ordered(config: Config, given: Given) -> Complaint | None:
    if 0 < config.max_worker_lifetime < config.min_worker_lifetime:
        return Complaint(
            ("min_worker_lifetime", "max_worker_lifetime"),
            f"min_worker_lifetime ({config.min_worker_lifetime:g} s) is longer than "
            f"max_worker_lifetime ({config.max_worker_lifetime:g} s)",
        )
    return None


def _quick_is_quicker(config: Config, given: Given) -> Complaint | None:
    if "quick_timeout" in given and config.quick_timeout > config.graceful_timeout:
        return Complaint(
            ("quick_timeout",),
            f"quick_timeout ({config.quick_timeout:g} s) is longer than graceful_timeout "
            f"({config.graceful_timeout:g} s): Ctrl-C would be slower than SIGTERM",
            fatal=False,
        )
    return None


def _silence_is_longer_than_a_beat(config: Config, given: Given) -> Complaint | None:
    if 0 < config.timeout < 2:
        return Complaint(
            ("timeout",), "workers beat once a second; below 2 seconds a healthy one may be aborted", fatal=False
        )
    return None


def _ping_timeout_needs_pings(config: Config, given: Given) -> Complaint | None:
    if "ws_ping_timeout" in given and config.ws_ping_timeout and not config.ws_ping_interval:
        return Complaint(("ws_ping_timeout",), "has no effect without ws_ping_interval", fatal=False)
    return None


def _log_config_decides_the_format(config: Config, given: Given) -> Complaint | None:
    if config.log_config and "log_format" in given:
        return Complaint(("log_format", "log_config"), "log_config replaces it", fatal=False)
    return None


def _variables_have_values(config: Config, given: Given) -> Complaint | None:
    for item in config.raw_env:
        if not re.fullmatch(r"[^=\0]+=[^\0]*", item, re.DOTALL):
            return Complaint(("raw_env",), f'expected NAME=VALUE, found "{item}"')
    return None


def _headers_are_headers(config: Config, given: Given) -> Complaint | None:
    for item in config.headers:
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*", item):  # RFC 9110 section 5.1 and 5.5
            return Complaint(("headers",), f'expected NAME:VALUE, found "{item}"')
        if item.partition(":")[0].lower() in {"content-length", "transfer-encoding", "connection"}:
            return Complaint(("headers",), f'"{item}" frames the response; the server writes that header itself')
    return None


def _peers_are_addresses(config: Config, given: Given) -> Complaint | None:
    for name in ("forwarded_allow_ips", "proxy_allow_ips"):
        for peer in getattr(config, name) if name in given else ():
            if re.fullmatch(r"[0-9a-fA-F.:]*[.:][0-9a-fA-F.:]*(/.*)?", peer) and not _is_network(peer):
                return Complaint((name,), f'"{peer}" is neither an address nor a network, no peer has it', fatal=False)
    return None


def _is_network(text: str) -> bool:
    from ipaddress import ip_network

    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _root_path_is_a_path(config: Config, given: Given) -> Complaint | None:
    path = config.root_path
    if path and not (path[0] == "/" and path[-1] != "/"):
        good = path.strip("/") and f'"/{path.strip("/")}"'
        text = f'"{path}" makes paths that applications do not expect; {f"write {good}" if good else "leave it out"}'
        return Complaint(("root_path",), text, fatal=False)
    return None


def _access_format_can_be_read(config: Config, given: Given) -> Complaint | None:
    if not config.access_log_format:
        return None
    from .atoms import compile_format, unknown_atoms

    try:
        compile_format(config.access_log_format)
    except InvalidSetting as error:
        return Complaint(("access_log_format",), str(error).removeprefix("access_log_format: "))
    if unknown := unknown_atoms(config.access_log_format):
        text = f"prints - for {', '.join(unknown)}, which no access log has"
        return Complaint(("access_log_format",), text, fatal=False)
    return None


def _directory_exists(config: Config, given: Given) -> Complaint | None:
    if config.chdir and not Path(config.chdir).is_dir():
        return Complaint(("chdir",), f'there is no directory "{config.chdir}"')
    return None


RULES: tuple[Rule, ...] = (
    _worker_class_runs_asgi,
    _key_needs_certificate,
    _client_certificates_need_tls,
    _password_needs_key,
    _revocation_lists_are_for_client_certificates,
    _reload_stays_in_the_foreground,
    _watched_directories_exist,
    _watching_needs_reload,
    _pidfile_is_no_port,
    _daemon_needs_a_log,
    _reuse_port_is_for_tcp,
    _socket_files_need_a_unix_address,
    _jitter_needs_a_limit,
    _lifetimes_are_ordered,
    _quick_is_quicker,
    _silence_is_longer_than_a_beat,
    _ping_timeout_needs_pings,
    _log_config_decides_the_format,
    _variables_have_values,
    _headers_are_headers,
    _directory_exists,
    _peers_are_addresses,
    _root_path_is_a_path,
    _access_format_can_be_read,
)
