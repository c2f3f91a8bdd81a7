"""The keywords that type checkers know are those that there are."""

from __future__ import annotations

from asgi_arbiter.arbiter.public_options import Options
from asgi_arbiter.config.settings import ADDRESS_PARTS, names, options

PROGRAMS = {"callback_notify", "timeout_notify", "ssl_context_factory"}
"""What only a program can hand over."""
# The parameters of uvicorn.Config in uvicorn 0.54.
UVICORN = """
    app host port uds fd loop http http2 ws ws_max_size ws_max_queue ws_ping_interval ws_ping_timeout
    ws_per_message_deflate lifespan env_file log_config log_level access_log use_colors interface reload reload_dirs
    reload_delay reload_includes reload_excludes workers proxy_headers server_header date_header forwarded_allow_ips
    root_path limit_concurrency limit_max_requests limit_max_requests_jitter backlog timeout_keep_alive timeout_notify
    timeout_graceful_shutdown timeout_worker_healthcheck callback_notify ssl_keyfile ssl_certfile ssl_keyfile_password
    ssl_version ssl_cert_reqs ssl_ca_certs ssl_ciphers ssl_context_factory headers factory h11_max_incomplete_event_size
    reset_contextvars
    app_dir
"""


def test_every_setting_can_be_a_keyword_but_those_accepted_from_gunicorn_s_files_only() -> None:
    settings = {name for name, option in options().items() if option.section != "Compatibility"} - {"app"}
    assert settings - set(Options.__annotations__) == set()


def test_every_keyword_is_one_that_config_takes() -> None:
    assert set(Options.__annotations__) - set(names()) == PROGRAMS


def test_every_keyword_of_uvicorn_is_there() -> None:
    assert set(UVICORN.split()) - set(Options.__annotations__) == {"app", *ADDRESS_PARTS}


def test_every_keyword_may_be_none() -> None:
    assert [name for name, kind in Options.__annotations__.items() if "None" not in str(kind)] == []
