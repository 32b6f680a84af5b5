"""Lines over whole numbers as an SVG: drawn in a millisecond, for a page that is written again and again."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass

from crossd.texts import escaped

WIDTH, HEIGHT = 440, 330
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 34, 40  # margins
COLOURS = ("#1f77b4", "#d95f02")
GREY = "#777"


@dataclass(frozen=True)
class Line:
    """One line: its points, of which those that are not finite are passed over, and how it is drawn."""

    xs: Sequence[float]
    ys: Sequence[float]
    name: str = ""
    colour: str = COLOURS[0]
    dash: str = ""


@dataclass(frozen=True)
class Axes:
    """A diagram: lines below a title, over epochs."""

    title: str
    lines: Sequence[Line]


def svg_of(*diagrams: Axes) -> str:
    """Diagrams beside each other as an SVG with a white ground.

    >>> svg = svg_of(Axes("loss", [Line([1, 2, 3], [0.9, float("nan"), 0.5], "training")]))
    >>> svg.count("<polyline"), svg.count("<circle"), ">training</text>" in svg
    (1, 2, True)
    """
    width = WIDTH * len(diagrams)
    drawn = "".join(f'<g transform="translate({WIDTH * i} 0)">{_axes(one)}</g>' for i, one in enumerate(diagrams))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
        'font-family="system-ui, sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>'
        f"{drawn}</svg>"
    )


def svg_uri(svg: str) -> str:
    """An SVG as a data URI."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def ticks(low: float, high: float, count: int = 5, least: float = 0.0) -> list[float]:
    """Round numbers from `low` to `high`, about so many and no closer than `least`.

    >>> ticks(0, 1), ticks(1, 37, least=1), ticks(1, 2, least=1)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [10.0, 20.0, 30.0], [1.0, 2.0])
    """
    rough = max((high - low) / count, least, 1e-12)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    marks = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [round(mark * step, 12) for mark in marks]


def _axes(diagram: Axes) -> str:
    lines = [
        (line, [(x, y) for x, y in zip(line.xs, line.ys, strict=True) if math.isfinite(y)]) for line in diagram.lines
    ]
    points = [point for _, shown in lines for point in shown] or [(0, 0)]
    (left, right), (low, high) = (_span(values) for values in zip(*points, strict=True))
    low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - left) / (right - left), (y - low) / (high - low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    bottom, end = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [_text(LEFT, 20, diagram.title, weight="600"), _text((LEFT + end) / 2, HEIGHT - 6, "epoch", "middle")]
    for y in ticks(low, high):
        at = place(left, y)[1]
        parts.append(f'<line x1="{LEFT}" x2="{end}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, at + 4, f"{y:.4g}", "end"))
    parts += [_text(place(x, low)[0], bottom + 17, f"{x:.0f}", "middle") for x in ticks(left, right, least=1)]
    for line, shown in lines:
        where = [place(*point) for point in shown]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in where)
        style = f'stroke="{line.colour}" stroke-width="2" stroke-dasharray="{line.dash}"'
        parts.append(f'<polyline points="{path}" fill="none" {style}/>')
        if not line.dash:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{line.colour}"/>' for x, y in where]
    named = [line for line, _ in lines if line.name]
    for number, line in enumerate(named):
        x, y = end - 118 * (len(named) - number), 16
        parts.append(
            f'<line x1="{x}" x2="{x + 22}" y1="{y}" y2="{y}" stroke="{line.colour}" stroke-width="2" '
            f'stroke-dasharray="{line.dash}"/>{_text(x + 27, y + 4, line.name)}'
        )
    return "".join(parts)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Least and most, apart from each other."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "400") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escaped(text)}</text>'
