"""A bar chart as SVG, written by hand: for each workload one bar per server, as long as its ratio to uvicorn. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["chart"]

LEFT = 250
WIDTH = 800
BAR = 11
GAP = 14
TOP = 86
COLOURS = ("#7d8590", "#a5adb6", "#c3b1a0", "#9db8a8", "#b9a5c4", "#a3bccf", "#d0c39a")
OURS_COLOUR = "#c2410c"


def chart(
    title: str,
    groups: Mapping[str, Mapping[str, float | None]],
    servers: Sequence[str],
    ours: str,
) -> str:
    """The chart. ``groups`` maps a workload's title to the ratio of each server, ``None`` where there is none."""
    ratios = [ratio for group in groups.values() for ratio in group.values() if ratio is not None]
    scale = (WIDTH - LEFT - 60) / max([*ratios, 1.0])
    colours = _colours(servers, ours)
    rows: list[str] = []
    y = TOP
    for label, group in groups.items():
        shown = [(server, group[server]) for server in servers if group.get(server) is not None]
        middle = y + len(shown) * BAR / 2 + 4
        rows.append(f'<text x="{LEFT - 10}" y="{middle:.1f}" text-anchor="end">{escape(label)}</text>')
        for server, ratio in shown:
            assert ratio is not None
            rows.append(_bar(y, ratio * scale, ratio, colours[server], f"{server}: {ratio:.2f}", server == ours))
            y += BAR
        y += GAP
    one = LEFT + scale
    line = f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{TOP - 8}" y2="{y - GAP + 4}" stroke="#57606a" stroke-dasharray="3 3"/>'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 6}" viewBox="0 0 {WIDTH} {y + 6}" '
            f'role="img" font-family="system-ui, sans-serif" font-size="12" fill="#24292f">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{y + 6}" rx="6" fill="#ffffff"/>',
            f'<text x="16" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
            *_legend(servers, colours),
            *rows,
            line,
            "</svg>",
            "",
        )
    )


def _colours(servers: Sequence[str], ours: str) -> dict[str, str]:
    others = [server for server in servers if server != ours]
    return {ours: OURS_COLOUR, **{server: COLOURS[number % len(COLOURS)] for number, server in enumerate(others)}}


def _bar(y: float, length: float, ratio: float, colour: str, hint: str, strong: bool) -> str:
    weight = ' font-weight="600"' if strong else ""
    return (
        f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{colour}">'
        f"<title>{escape(hint)}</title></rect>"
        f'<text x="{LEFT + length + 4:.1f}" y="{y + BAR - 2.5}" font-size="9"{weight}>{ratio:.2f}</text>'
    )


def _legend(servers: Sequence[str], colours: Mapping[str, str]) -> list[str]:
    parts = []
    x, y = 16.0, 38
    for server in servers:
        width = 30 + 6.8 * len(server)
        if x + width > WIDTH:
            x, y = 16.0, y + 18
        parts.append(f'<rect x="{x:.0f}" y="{y}" width="10" height="10" fill="{colours[server]}"/>')
        parts.append(f'<text x="{x + 14:.0f}" y="{y + 9}">{escape(server)}</text>')
        x += width
    return parts
