"""gunicorn keeps the processes, asgi-arbiter serves: our worker class under gunicorn 20.1 to 27.

    gunicorn -c examples/gunicorn_worker_conf.py

Moving from ``uvicorn.workers.UvicornWorker`` or ``uvicorn_worker.UvicornWorker`` means changing ``worker_class`` and
nothing else; what those two ignore (``graceful_timeout``, ``limit_request_line``, ``access_log_format``, the hooks around
requests, ...) has its effect from then on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

wsgi_app = "lifespan:app"
chdir = str(Path(__file__).parent)
bind = "127.0.0.1:8000"
workers = 2
worker_class = "asgi_arbiter.gunicorn.ArbiterWorker"

timeout = 30  # of silence of the event loop: then its stacks are in the error log, and the worker is replaced
graceful_timeout = 30  # for requests under way, with the lifespan shutdown before its end
keepalive = 5
max_requests = 10_000  # the error log says when a worker leaves for it
max_requests_jitter = 1_000
worker_connections = 2_000  # counts when it is not gunicorn's default of 1000
accesslog = "-"
access_log_format = '%(h)s "%(r)s" %(s)s %(B)s bytes %(M)s ms'

# What gunicorn has no setting for is a setting of the class: a subclass in a module of your own, named as worker_class.
#
#     from asgi_arbiter.gunicorn import ArbiterWorker
#
#     class Worker(ArbiterWorker):
#         CONFIG_KWARGS = {"request_timeout": 60, "ws_max_size": "1M", "limit_concurrency": 500}


def post_worker_init(worker: Any) -> None:
    """The application of this worker is imported; its lifespan startup follows."""
    worker.log.info("worker %s has its application", worker.pid)


def worker_abort(worker: Any) -> None:
    """The worker was silent for ``timeout`` seconds. What it was doing is in the error log already."""
    worker.log.error("worker %s is given up", worker.pid)


def post_request(worker: Any, req: Any, environ: dict[str, Any], resp: Any) -> None:
    """After each answer, in the event loop. Without such a hook requests cost nothing more."""
    if resp.status_code >= 500:
        worker.log.warning("%s %s was answered with %s", req.method, req.path, resp.status)
