"""Heads of answers: read strictly, judged without a network."""

from __future__ import annotations

import pytest

from ultralab.models.download.answers import Head, Verdict, Way, choose_way, identity_of, judge_part, read_head
from ultralab.models.download.partial import Identity

KNOWN = Identity(100, "https://host/f", '"1"')


@pytest.mark.parametrize(
    ("status", "headers", "head"),
    [
        (206, {"content-range": "bytes 5-9/100", "etag": '"1"'}, Head(206, 5, 100, tag='"1"')),
        (206, {"content-range": "bytes 0-99/100"}, Head(206, 0, 100, covers=True)),
        (206, {"content-range": "bytes 5-9/*", "etag": 'W/"1"'}, Head(206, 5)),
        (206, {"content-range": "bytes 9-5/100"}, Head(206, None, 100)),
        (206, {"content-range": "bytes 5-100/100"}, Head(206, None, 100)),
        (206, {"content-range": f"bytes 0-1/{'9' * 19}"}, Head(206)),
        (206, {}, Head(206)),
        (416, {"content-range": "bytes */7"}, Head(416, None, 7)),
        (200, {"content-length": "7", "content-encoding": "GZIP"}, Head(200, None, 7, encoded="gzip")),
        (200, {"content-length": "-7", "content-encoding": "identity"}, Head(200)),
        (200, {"etag": '"' + "x" * 600 + '"', "last-modified": " Mon "}, Head(200, changed="Mon")),
        (200, {"etag": '"模"'}, Head(200)),
    ],
)
def test_heads(status: int, headers: dict[str, str], head: Head) -> None:
    assert read_head(status, headers) == head


@pytest.mark.parametrize(
    ("head", "verdict"),
    [
        (Head(206, 5, 100, tag='"1"'), Verdict.TAKE),
        (Head(206, 5, 100, changed='"1"'), Verdict.TAKE),
        (Head(206, 5, 100, tag='"2"'), Verdict.CHANGED),
        (Head(206, 5, 101, tag='"1"'), Verdict.CHANGED),
        (Head(206, 5, 100, tag='"1"', encoded="br"), Verdict.CHANGED),
        (Head(206, 4, 100, tag='"1"'), Verdict.WRONG_PART),
        (Head(206, 5, None, tag='"1"'), Verdict.WRONG_PART),
        (Head(200, None, 100, tag='"1"'), Verdict.CHANGED),
        (Head(416, None, 100), Verdict.CHANGED),
        (Head(503), Verdict.BUSY),
        (Head(403), Verdict.REFUSED),
        (Head(418), Verdict.FAILED),
        (Head(304), Verdict.FAILED),
    ],
)
def test_parts_of_a_known_file(head: Head, verdict: Verdict) -> None:
    assert judge_part(head, 5, KNOWN) is verdict


@pytest.mark.parametrize(
    ("head", "hashed", "way"),
    [
        (Head(206, 0, 100), True, Way.PARTS),
        (Head(206, 0, 100), False, Way.AGAIN),
        (Head(206, 0, 100, covers=True), False, Way.WHOLE),
        (Head(206, 0, 100, tag='"1"'), False, Way.PARTS),
        (Head(206, 0, 100, changed="Mon"), False, Way.PARTS),
        (Head(206, 0, 100, tag='"1"', encoded="gzip"), True, Way.AGAIN),
        (Head(206, 3, 100, tag='"1"'), True, Way.AGAIN),
        (Head(206, 0, None, tag='"1"'), True, Way.AGAIN),
        (Head(200, None, 100), True, Way.WHOLE),
        (Head(416, None, 0), True, Way.EMPTY),
        (Head(416, None, 9), True, Way.AGAIN),
        (Head(416), True, Way.AGAIN),
    ],
)
def test_the_way_of_an_unknown_file(head: Head, hashed: bool, way: Way) -> None:
    assert choose_way(head, hashed=hashed) is way


def test_a_date_counts_only_without_anything_better() -> None:
    both, date = Head(206, 0, 9, tag='"1"', changed="Mon"), Head(206, 0, 9, changed="Mon")
    assert [identity_of(head, "a", hashed=hashed).validator for head in (both, date) for hashed in (True, False)] == [
        '"1"', '"1"', "", "Mon",
    ]  # fmt: skip
