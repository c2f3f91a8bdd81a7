"""A FastAPI application of ordinary weight (120 routes, 60 models, about 20 MB of own objects) for the memory figures."""

from __future__ import annotations

import gc
import os
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, create_model

app = FastAPI()
MODELS: list[type[BaseModel]] = [
    create_model(f"Model{number}", name=(str, "x"), size=(int, number), tags=(list[str], [])) for number in range(60)
]
LEDGER = [{"id": number, "name": f"entry {number}", "tags": [f"tag {number}"]} for number in range(45000)]
"""About 20 MB of dicts, strings and lists, as a table kept in memory would be."""


def route(model: type[BaseModel]) -> Any:
    async def endpoint(size: int = 0) -> Any:
        return model(size=size)

    return endpoint


for index in range(120):
    app.get(f"/route/{index}", response_model=MODELS[index % 60])(route(MODELS[index % 60]))


@app.get("/")
async def hello() -> dict[str, int]:
    return {"entries": len(LEDGER)}


@app.get("/collect")
async def collect() -> dict[str, int]:
    """A full collection, which touches every object and so unshares what ``gc.freeze`` did not set aside."""
    gc.collect()
    return {"pid": os.getpid()}
