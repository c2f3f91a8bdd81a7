"""What tests of the arbiter's effects share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.kernel_support import Heir, Kernel, Order, Rig


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(os, "kill", kernel.kill)
    monkeypatch.setattr(os, "wait4", kernel.wait4)
    monkeypatch.setattr(os, "fork", lambda: kernel.fork())
    return kernel


@pytest.fixture
def rig(kernel: Kernel) -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


@pytest.fixture
def order(rig: Rig) -> Iterator[Order]:
    """A mold that takes orders, and whose workers are the arbiter's children."""
    order = Order(rig)
    yield order
    order.mold.close()


@pytest.fixture
def heir(rig: Rig) -> Iterator[Heir]:
    heir = Heir()
    rig.effects._upgrade = heir  # type: ignore[assignment]
    yield heir
    heir.ours.close()
    heir.theirs.close()
