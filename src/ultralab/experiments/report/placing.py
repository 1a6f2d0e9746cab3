"""Where the labels of a plot go, so that no two overlap. Pure geometry, in the plot's own units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from ultralab.kernel.text import display_width


@dataclass(frozen=True)
class Box:
    """A rectangle; y grows upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return width * height if width > 0 and height > 0 else 0.0

    def outside(self, frame: Box) -> float:
        """The area that sticks out of a frame."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(frame)


@dataclass(frozen=True)
class Placed:
    """A label's anchor (the middle of its height) and how it hangs on it: ``left`` means text to the right of it."""

    x: float
    y: float
    align: str
    box: Box


def text_width(text: str, font_size: float) -> float:
    """A generous guess of a label's width: browsers bring their own fonts, so it cannot be known."""
    return 0.7 * font_size * display_width(text)


def place(
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    frame: Box,
    font_size: float,
    taken: Sequence[Box] = (),
) -> tuple[Placed, ...]:
    """A place for each point's label: the first around it that is free, else the one that covers least.

    ``taken``: thin lines that labels should rather not cross.
    """
    gap = 0.75 * font_size
    marks = [Box(x - 0.6 * gap, y - 0.6 * gap, x + 0.6 * gap, y + 0.6 * gap) for x, y in points]
    placed: list[Placed] = []
    for (x, y), label in zip(points, labels, strict=True):
        solid = [*marks, *(other.box for other in placed)]
        choices = _around(x, y, text_width(label, font_size), font_size, gap)
        placed.append(min(choices, key=lambda choice: _cost(choice, solid, taken, frame)))
    return tuple(placed)


def _cost(choice: Placed, solid: Sequence[Box], lines: Sequence[Box], frame: Box) -> float:
    """What a choice covers: marks and labels weigh more than thin lines, leaving the frame most."""
    covered = 6 * sum(choice.box.overlap(box) for box in solid) + sum(choice.box.overlap(box) for box in lines)
    return covered + 20 * choice.box.outside(frame)


def _around(x: float, y: float, width: float, height: float, gap: float) -> list[Placed]:
    """Candidates in order of liking: right, above, left, below, then the corners, then further away."""
    shifts = {"left": gap, "center": 0.0, "right": -gap}
    near = [("left", 0.0), ("center", 1.0), ("right", 0.0), ("center", -1.0)]
    corners = list(product(("left", "right"), (0.8, -0.8)))
    far = list(product(("left", "center", "right"), (2.1, -2.1, 3.4, -3.4)))
    found = []
    for align, rise in (*near, *corners, *far):
        anchor, middle = x + shifts[align], y + rise * (0.5 * height + gap)
        left = {"left": anchor, "center": anchor - width / 2, "right": anchor - width}[align]
        box = Box(left, middle - 0.6 * height, left + width, middle + 0.6 * height)
        found.append(Placed(anchor, middle, align, box))
    return found
