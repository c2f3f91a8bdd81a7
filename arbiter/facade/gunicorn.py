"""For gunicorn: ``gunicorn -k asgi_arbiter.gunicorn.ArbiterWorker main:app``."""

from asgi_arbiter.worker.gunicorn import ArbiterH11Worker, ArbiterWorker

__all__ = ["ArbiterH11Worker", "ArbiterWorker"]
