"""gunicorn's configuration in our words."""

from __future__ import annotations

import ipaddress
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_arbiter.config import Config
from asgi_arbiter.config.errors import ConfigError, UnknownSetting
from asgi_arbiter.worker.gunicorn_settings import drain_time, is_changed, translate

gunicorn_config = pytest.importorskip("gunicorn.config")


def cfg(**settings: Any) -> Any:
    made = gunicorn_config.Config()
    for name, value in settings.items():
        made.set(name, value)
    return made


def ours(cfg_: Any, **more: object) -> Config:
    return translate(cfg_, more, max_requests=0, access_log=False).config


def test_what_gunicorn_says_holds_its_defaults_included() -> None:
    config = ours(cfg())
    assert (config.keepalive, config.limit_request_line, config.limit_request_field_size) == (2, 4094, 8190)
    assert config.backlog == 2048
    assert config.limit_request_head == 65536
    assert not translate(cfg(), {}, max_requests=0, access_log=False).warnings


def test_limits_and_times_are_taken_over() -> None:
    config = ours(cfg(keepalive=7, limit_request_line=0, limit_request_fields=3, graceful_timeout=20))
    assert (config.keepalive, config.limit_request_line, config.limit_request_fields) == (7, 0, 3)
    assert config.limit_request_head == 0
    assert config.graceful_timeout == 16


def test_a_head_has_room_for_the_longest_field_allowed() -> None:
    assert ours(cfg(limit_request_field_size=100_000)).limit_request_head > 200_000


@pytest.mark.parametrize(("graceful", "drain"), [(30, 26), (8, 4), (3, 1.5), (0, 0)])
def test_a_part_of_the_graceful_timeout_is_kept_for_the_end(graceful: float, drain: float) -> None:
    assert drain_time(graceful) == drain


def test_worker_connections_counts_when_it_was_changed() -> None:
    assert ours(cfg()).worker_connections == 0
    assert ours(cfg(worker_connections=7)).worker_connections == 7


def test_the_disconnect_grace_period_counts_when_it_was_changed() -> None:
    if "asgi_disconnect_grace_period" not in cfg().settings:
        pytest.skip("gunicorn before 25")
    assert ours(cfg()).disconnect_grace_period == 0
    assert ours(cfg(asgi_disconnect_grace_period=9)).disconnect_grace_period == 9
    assert 0 < ours(cfg(asgi_disconnect_grace_period=0)).disconnect_grace_period < 0.1  # gunicorn's 0 is at once


def test_asgi_settings_of_the_version() -> None:
    if "asgi_loop" not in cfg().settings:
        pytest.skip("gunicorn before 24")
    config = ours(cfg(asgi_loop="asyncio", asgi_lifespan="off", root_path="/below"))
    assert (config.loop, config.lifespan, config.root_path) == ("asyncio", "off", "/below")


def test_the_parser_of_the_version() -> None:
    if "http_parser" not in cfg().settings:
        pytest.skip("gunicorn before 25")
    assert ours(cfg()).http == "auto"
    assert ours(cfg(http_parser="python")).http == "h11"


def test_peers_on_unix_sockets_are_trusted_as_by_gunicorn() -> None:
    assert ours(cfg(forwarded_allow_ips="10.0.0.1,10.1.0.0/16")).forwarded_allow_ips == (
        "10.0.0.1",
        "10.1.0.0/16",
        "unix:",
    )


class OldConfig:
    """A configuration whose settings are those of another version where they are given."""

    def __init__(self, **values: Any) -> None:
        self._values = values
        self._real = cfg()

    def __getattr__(self, name: str) -> Any:
        return self._values[name] if name in self._values else getattr(self._real, name)


def test_network_objects_of_24_1_0_are_understood() -> None:
    networks = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1")]
    assert ours(OldConfig(forwarded_allow_ips=networks)).forwarded_allow_ips == ("10.0.0.0/8", "::1/128", "unix:")


def test_the_proxy_protocol_was_a_flag_until_23() -> None:
    assert ours(OldConfig(proxy_protocol=True)).proxy_protocol == "v1"
    assert ours(OldConfig(proxy_protocol=False)).proxy_protocol == "off"
    assert ours(OldConfig(proxy_protocol="v2")).proxy_protocol == "v2"


def test_headers_that_tell_the_scheme() -> None:
    assert ours(cfg(secure_scheme_headers={"X-S": "tls"})).secure_scheme_headers == (("X-S", "tls"),)


def test_tls_settings_are_taken_over_where_there_is_tls() -> None:
    assert ours(cfg(cert_reqs=2)).cert_reqs == 0
    config = ours(cfg(certfile="c", keyfile="k", ca_certs="a", cert_reqs=2, ciphers="HIGH"))
    assert (config.certfile, config.keyfile, config.ca_certs, config.cert_reqs, config.ciphers) == (
        "c",
        "k",
        "a",
        2,
        "HIGH",
    )


def test_a_subclass_overrides_gunicorn_under_any_name_of_a_setting() -> None:
    config = ours(cfg(keepalive=7), timeout_keep_alive=9, http="h11", request_timeout=60)
    assert (config.keepalive, config.http, config.request_timeout) == (9, "h11", 60)


def test_a_setting_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(UnknownSetting, match="gunicorn, wrokers: no such setting"):
        ours(cfg(), wrokers=1)


def test_a_wrong_value_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="gunicorn, http: "):
        ours(cfg(), http="h4")


def test_settings_without_effect_are_told() -> None:
    if "casefold_http_method" not in cfg().settings:
        pytest.skip("gunicorn before 22")
    (warning,) = translate(cfg(casefold_http_method=True), {}, max_requests=0, access_log=False).warnings
    assert warning.startswith("gunicorn, casefold_http_method: has no effect")


def test_what_the_worker_knows_itself() -> None:
    config = translate(cfg(), {}, max_requests=77, access_log=True).config
    assert (config.max_requests, config.max_requests_jitter, config.access_log) == (77, 0, True)


def test_the_environment_is_gunicorns_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    monkeypatch.setenv("WEB_CONCURRENCY", "nonsense")
    assert "*" not in ours(cfg(forwarded_allow_ips="10.0.0.1")).forwarded_allow_ips


def test_a_setting_of_a_later_version_is_not_changed() -> None:
    assert not is_changed(SimpleNamespace(settings={}), "asgi_loop")
