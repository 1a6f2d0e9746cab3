from __future__ import annotations

from itertools import combinations

import pytest

from ultralab.experiments.report.placing import Box, place, text_width

FRAME = Box(0, 0, 400, 220)
SIZE = 11.5


@pytest.mark.parametrize(
    "points",
    [
        [(40, 60), (44, 62), (52, 58), (60, 61)],
        [(5, 5), (395, 5), (5, 215), (395, 215)],
        [(200, 100), (200, 104), (204, 100), (196, 100), (200, 96)],
        [(20, 200), (35, 180), (70, 30), (160, 25), (380, 24)],
    ],
)
def test_no_label_covers_another_a_point_or_leaves_the_frame(points: list[tuple[float, float]]) -> None:
    labels = ["MXFP4", "Q4_0", "Q4_1", "Q5_1", "Q8_0"][: len(points)]
    placed = place(points, labels, FRAME, SIZE)
    assert [one.box.overlap(other.box) for one, other in combinations(placed, 2)] == [0.0] * (
        len(points) * (len(points) - 1) // 2
    )
    assert [one.box.outside(FRAME) for one in placed] == [0.0] * len(points)
    covered = [
        one.box.left < x < one.box.right and one.box.bottom < y < one.box.top for one in placed for x, y in points
    ]
    assert not any(covered)


def test_where_no_place_is_free_lines_are_crossed_before_marks_and_names() -> None:
    points = [(60, 20), (74, 20), (90, 22), (96, 18)]
    lines = [Box(x - 2, 2, x + 2, 210) for x, _y in points]
    placed = place(points, ["MXFP4", "Q4_0", "Q4_1", "Q5_1"], FRAME, SIZE, lines)
    assert [one.box.overlap(other.box) for one, other in combinations(placed, 2)] == [0.0] * 6
    assert not any(
        one.box.left < x < one.box.right and one.box.bottom < y < one.box.top for one in placed for x, y in points
    )


def test_a_lone_label_stands_to_the_right_of_its_point() -> None:
    (only,) = place([(100, 100)], ["Q8_0"], FRAME, SIZE)
    assert (only.align, only.y, only.x > 100) == ("left", 100, True)


def test_chinese_counts_double() -> None:
    assert text_width("量化", SIZE) == text_width("abcd", SIZE)
