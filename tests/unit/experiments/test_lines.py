"""The line of each value in a YAML text."""

from __future__ import annotations

from pathlib import Path

from ultralab.experiments.lines import read_yaml

TEXT = """\
# a comment

a: 1
group:
  b: [x, y,
      z]
  list:
    - c: &word w
      d: *word
    - 2.5
empty:
"""


def test_data_and_lines() -> None:
    data, lines = read_yaml(Path("x.yaml"), TEXT)
    assert data == {
        "a": 1,
        "group": {"b": ["x", "y", "z"], "list": [{"c": "w", "d": "w"}, 2.5]},
        "empty": None,
    }
    assert dict(lines.at) == {
        ("a",): 3,
        ("group",): 4,
        ("group", "b"): 5,
        ("group", "b", 0): 5,
        ("group", "b", 1): 5,
        ("group", "b", 2): 6,
        ("group", "list"): 7,
        ("group", "list", 0): 8,
        ("group", "list", 0, "c"): 8,
        ("group", "list", 0, "d"): 9,
        ("group", "list", 1): 10,
        ("empty",): 11,
    }


def test_what_is_not_in_the_file_has_the_line_of_what_is_around_it() -> None:
    _data, lines = read_yaml(Path("x.yaml"), TEXT)
    assert [lines.of("group", "nothing"), lines.of("group", "b", 9), lines.of("nothing"), lines.of()] == [4, 5, 1, 1]


def test_scalars() -> None:
    text = "a: yes\nb: No\nc: -1_000\nd: 1.5e+3\ne: ~\nf: 2026-01-02\ng: '1'\nh: .5\ni: +0\n"
    data, _lines = read_yaml(Path("x.yaml"), text)
    assert data == {
        "a": True,
        "b": False,
        "c": -1000,
        "d": 1500.0,
        "e": None,
        "f": "2026-01-02",
        "g": "1",
        "h": 0.5,
        "i": 0,
    }
