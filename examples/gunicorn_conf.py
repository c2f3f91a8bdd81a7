"""A settings file of gunicorn's, read as it is.

    asgi-arbiter --app-dir examples -c examples/gunicorn_conf.py

``gunicorn -k uvicorn_worker.UvicornWorker`` would read the same file: its settings, its worker class, its hooks. To leave it
behind, ``asgi-arbiter migrate examples/gunicorn_conf.py`` prints what it says as an asgi-arbiter.toml.
"""

from __future__ import annotations

import multiprocessing
from typing import Any

wsgi_app = "hello:app"
bind = "127.0.0.1:8000"
workers = min(multiprocessing.cpu_count(), 2)
worker_class = "uvicorn_worker.UvicornWorker"
max_requests = 10000
max_requests_jitter = 1000
keepalive = 5
accesslog = "-"
proc_name = "hello"


def when_ready(server: Any) -> None:
    """Runs once, in the arbiter."""
    print("when_ready: the workers serve", flush=True)


def post_worker_init(worker: Any) -> None:
    """Runs in each worker, when its application has been imported."""
    print(f"post_worker_init: worker {worker.pid}", flush=True)
