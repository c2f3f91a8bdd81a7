"""The arithmetic of the benchmark: medians, spreads, ratios. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

__all__ = ["median_or_none", "paired_ratio", "spread"]


def median_or_none(values: Sequence[float]) -> float | None:
    """The median, or ``None`` where nothing was measured."""
    return median(values) if values else None


def spread(values: Sequence[float]) -> float | None:
    """Largest over smallest: 1.0 is a quiet machine; ratios nearer to 1 than the spread explains say nothing."""
    if not values or min(values) <= 0:
        return None
    return max(values) / min(values)


def paired_ratio(base: Sequence[float | None], other: Sequence[float | None]) -> float | None:
    """How many times cheaper ``other`` is than ``base``: the median over the rounds of base / other.

    Both were measured in the same round, one after the other, so that what slowed the machine down slowed both.
    A round that failed on either side is ``None`` there and left out.
    """
    pairs = zip(base, other, strict=False)
    ratios = [left / right for left, right in pairs if left is not None and right is not None and right > 0]
    return median(ratios) if ratios else None
