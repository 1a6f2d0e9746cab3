"""Where new bytes go."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultralab.kernel.errors import DiskFull, NotFound, Unsupported
from ultralab.models.store.placement import choose
from ultralab.models.store.volumes import HOME, Placement, State, Volume, VolumeState

GIB = 2**30


def state(name: str, free: int, how: State = "present") -> VolumeState:
    return VolumeState(Volume(name, Path(f"/{name}")), how, free * GIB, 1000 * GIB)


@pytest.mark.parametrize(
    ("size", "states", "placement", "expected"),
    [
        (10, (state(HOME, 100),), Placement(), HOME),
        (10, (state(HOME, 100), state("ssd", 900)), Placement(), HOME),
        (10, (state(HOME, 100), state("ssd", 900)), Placement(keep_free=90 * GIB), HOME),
        (11, (state(HOME, 100), state("ssd", 900)), Placement(keep_free=90 * GIB), "ssd"),
        (101, (state(HOME, 100), state("a", 200), state("b", 300)), Placement(), "b"),
        (101, (state(HOME, 100), state("a", 200), state("b", 300, "missing")), Placement(), "a"),
        (101, (state(HOME, 100), state("a", 200), state("b", 300, "read-only")), Placement(), "a"),
        (101, (state(HOME, 100), state("a", 200), state("b", 300, "foreign")), Placement(), "a"),
        (10, (state(HOME, 100), state("ssd", 50)), Placement("ssd"), "ssd"),
        (10, (state(HOME, 100), state("ssd", 900)), Placement(HOME), HOME),
        (0, (state(HOME, 0),), Placement(), HOME),
    ],
)
def test_the_choice(size: int, states: tuple[VolumeState, ...], placement: Placement, expected: str) -> None:
    assert choose(size * GIB, states, placement).name == expected


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("missing", NotFound, "not plugged in"),
        ("read-only", Unsupported, "read-only"),
        ("foreign", Unsupported, "marker"),
    ],
)
def test_a_named_volume_that_cannot_be_used(how: State, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        choose(1, (state(HOME, 100), state("ssd", 0, how)), Placement("ssd"))
    assert caught.value.hint  # type: ignore[attr-defined]


def test_an_unknown_volume() -> None:
    with pytest.raises(NotFound, match="no volume nas") as caught:
        choose(1, (state(HOME, 100), state("ssd", 900)), Placement("nas"))
    assert caught.value.hint == "Known: home, ssd."


def test_no_room_names_each_volume_and_what_is_missing() -> None:
    with pytest.raises(DiskFull) as caught:
        choose(400 * GIB, (state(HOME, 100), state("ssd", 300), state("nas", 0, "missing")), Placement())
    assert caught.value.message == (
        "400 GiB are needed on one volume, 100 GiB more than is free (home: 100 GiB free; ssd: 300 GiB free)."
    )
    with pytest.raises(DiskFull, match=r"20\.0 GiB are to stay free: 10\.0 GiB are missing"):
        choose(90 * GIB, (state(HOME, 100), state("ssd", 300)), Placement(HOME, 20 * GIB))
