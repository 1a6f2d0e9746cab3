"""Which models are proposed, in which order, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.models.catalog.test_index import ONE

from ultralab.models.pruning.proposals import Candidate, Remnant, better_of, proposals, way_back
from ultralab.models.types import Derivation, ModelFile, ModelRecord

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
GIB = 1024**3


def record(name: str, digest: str = "0", **values: Any) -> ModelRecord:
    files = (ModelFile("a.gguf", GIB, digest * 64),)
    return replace(ONE, name=name, source=f"hf:org/{name}", files=files, **values)


def candidate(name: str, size: int = GIB, days: int = 200, **values: Any) -> Candidate:
    made = Candidate(record(name), {"home": size}, NOW - timedelta(days=days), None)
    return replace(made, **values)


def made_from(parent: ModelRecord) -> Derivation:
    return Derivation(
        parent=parent.ref, parent_sha256=parent.sha256, tool="gguf", tool_version="0.19", quantization="Q4_0"
    )


def proposed(*models: Candidate, remnants: tuple[Remnant, ...] = (), wanted: int = 0, free: int = 0) -> list[str]:
    found = proposals(models, remnants, now=NOW, free={"home": free}, wanted=wanted, age_days=90)
    return [one.what for one in found]


def test_what_is_never_proposed() -> None:
    assert proposed(
        candidate("young", days=89), candidate("kept", keep=True), candidate("loaded", in_use=True),
        candidate("adopted", frees={}), candidate("shared", frees={"home": 0}), candidate("unknown", touched=None),
    ) == []  # fmt: skip
    assert proposed(candidate("old", days=90)) == ["old:f32"]


def test_the_order() -> None:
    old = NOW - timedelta(days=9)
    assert proposed(
        candidate("last-copy", size=900 * GIB, refetchable=False),
        candidate("small", size=GIB),
        candidate("large", size=5 * GIB),
        candidate("long-unused", size=2 * GIB, days=2000),
        candidate("worse", size=1, better="best:f32"),
        remnants=(
            Remnant("unfinished", "fresh", ("/p/fresh",), "home", GIB, NOW - timedelta(hours=23)),
            Remnant("unfinished", "begun", ("/p/begun",), "home", GIB, old),
            Remnant("damaged", "bad", ("/p/bad",), "home", 1, NOW),
        ),
    ) == ["bad", "begun", "worse:f32", "long-unused:f32", "large:f32", "small:f32", "last-copy:f32"]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "class_", "certain", "says"),
    [
        ({"refetchable": True}, "refetchable", True, "It can be fetched again: hf:org/m."),
        ({"refetchable": None}, "refetchable", False, "nobody asked whether it is still there"),
        ({"refetchable": False}, "neither", False, "This is the last copy: it cannot be fetched again"),
    ],
)
def test_the_class_of_a_fetched_model(values: dict[str, Any], class_: str, certain: bool, says: str) -> None:
    (one,) = proposals([candidate("m", **values)], now=NOW, free={}, wanted=0, age_days=90)
    assert (one.class_, one.certain, bool(one.warning)) == (class_, certain, class_ == "neither")
    assert says in one.reason
    assert one.reason.startswith("Not used for 200 days.")


def test_the_class_of_a_derived_model() -> None:
    parent = record("parent", "1")
    child = record("child", "2", derived=made_from(parent))
    for remakeable, class_ in ((True, "derived"), (False, "neither")):
        one = replace(candidate("child"), record=child, remakeable=remakeable, refetchable=True)
        (offered,) = proposals([one], now=NOW, free={}, wanted=0, age_days=90)
        assert (offered.class_, bool(offered.warning)) == (class_, class_ == "neither")
        assert offered.back == "gguf 0.19: parent:f32 → Q4_0"


def test_parent_and_child_are_not_proposed_as_if_each_brought_back_the_other() -> None:
    parent = record("parent", "1")
    child = record("child", "2", derived=made_from(parent))
    offered = proposals(
        [replace(candidate("p"), record=parent), replace(candidate("c"), record=child, remakeable=True)],
        now=NOW, free={}, wanted=0, age_days=90,
    )  # fmt: skip
    said = {one.what: one.reason for one in offered}
    assert "without it, this cannot be made again" in said["child:f32"]
    assert "Others that are proposed too are made from it." in said["parent:f32"]


def test_of_two_quantizations_one_is_to_be_kept() -> None:
    worse, best = candidate("a", better="b:f32"), candidate("b")
    said = {one.what: one.reason for one in proposals([worse, best], now=NOW, free={}, wanted=0, age_days=90)}
    assert "keep one of the two" in said["a:f32"]
    (alone,) = proposals([worse], now=NOW, free={}, wanted=0, age_days=90)
    assert "A better quantization is here: b:f32." in alone.reason


def test_a_better_quantization_is_of_the_same_model_and_format_and_safe() -> None:
    four = record("m", variant="q4", bits_per_weight=4.5)
    eight = record("m", variant="q8", bits_per_weight=8.5)
    six = record("m", variant="q6", bits_per_weight=6.5)
    others = [
        replace(eight, variant="x", format="mlx"), replace(eight, name="n"),
        replace(eight, variant="y", bits_per_weight=32.0, unsafe=("pickle",)),
    ]  # fmt: skip
    assert better_of(four, [four, six, eight, *others]) == "m:q8"
    assert better_of(eight, [four, six, eight, *others]) == ""


def test_only_as_much_as_is_wanted_is_needed_on_each_volume() -> None:
    models = [candidate(name, size=10) for name in "abc"] + [replace(candidate("d"), frees={"disk": 10})]
    offered = proposals(models, now=NOW, free={"home": 85, "disk": 500}, wanted=100, age_days=90)
    assert {one.what: one.needed for one in offered} == {"a:f32": True, "b:f32": True, "c:f32": False, "d:f32": False}


def test_the_way_back_names_the_revision() -> None:
    assert way_back(record("m", revision="abc")) == "ultralab models pull hf:org/m (abc)"
    assert way_back(replace(ONE, source="hf:org/m@abc", revision="abc")) == "ultralab models pull hf:org/m@abc"


KNOWN = st.lists(
    st.builds(
        lambda number, size, days, fetch, keep: candidate(
            f"m{number}", size=size, days=days, refetchable=fetch, keep=keep
        ),
        st.integers(0, 30), st.integers(0, 100), st.integers(0, 400), st.sampled_from([True, False, None]), st.booleans(),
    ),
    max_size=12, unique_by=lambda one: one.record.ref,
)  # fmt: skip


@given(KNOWN, st.integers(0, 500), st.integers(0, 500), st.randoms(use_true_random=False))
def test_what_holds_of_all_proposals(known: list[Candidate], free: int, wanted: int, random: object) -> None:
    offered = proposals(known, now=NOW, free={"home": free}, wanted=wanted, age_days=90)
    shuffled = list(known)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert proposals(shuffled, now=NOW, free={"home": free}, wanted=wanted, age_days=90) == offered
    by_ref = {one.record.ref: one for one in known}
    for one in offered:
        assert not by_ref[one.what].keep
        assert one.freed > 0
        assert (by_ref[one.what].refetchable is False) == bool(one.warning)
    needed = [one.freed for one in offered if one.needed]
    assert sum(needed[:-1]) < max(wanted - free, 1)
    if free + sum(one.freed for one in offered) >= wanted:
        assert free + sum(needed) >= wanted
