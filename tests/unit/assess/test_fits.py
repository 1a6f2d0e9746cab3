"""The known models ranked for a machine."""

from __future__ import annotations

import pytest
from tests.unit.assess.advice_means import MEANS, studio

from ultralab.assess.advice.fits import FEW_BITS, NO_ROOM, RAISED, SHORT, SLOW, UNKNOWN, Fit, fits, to_data
from ultralab.assess.advice.types import Wish
from ultralab.assess.known.models import models


def ranked(gib: int, wish: Wish | None = None) -> dict[str, Fit]:
    return {one.model.id: one for one in fits(studio(gib), MEANS, wish)}


def test_every_known_model_is_there_and_those_that_fit_come_first() -> None:
    found = ranked(512)
    assert set(found) == {model.id for model in models()}
    order = [one.fits for one in found.values()]
    assert order == sorted(order, key=lambda fits: (fits is not True, fits is False))


def test_the_largest_machine_takes_the_671_billion_and_a_quarter_of_it_does_not() -> None:
    assert ranked(512)["deepseek-r1"].fits is True
    small = ranked(128)["deepseek-r1"]
    assert small.fits is False
    assert small.machines is not None
    assert small.machines > 1
    assert NO_ROOM in small.remarks
    assert small.row.candidate.quantization in small.why_not


def test_remarks_say_what_a_model_lacks() -> None:
    found = ranked(512, Wish(context=131_072))
    assert SLOW in found["llama-3.1-405b"].remarks
    assert FEW_BITS in found["kimi-k2"].remarks
    assert RAISED in found["deepseek-r1"].remarks
    assert RAISED not in found["gpt-oss-120b"].remarks
    assert SHORT in found["qwen3-235b"].remarks
    assert found["qwen3-235b"].row.question.demand.context == 40_960
    assert UNKNOWN in ranked(256, Wish(context=1_000_000))["deepseek-v4-flash"].remarks


@pytest.mark.parametrize("small", [96, 128, 256])
def test_more_memory_never_loses_a_model(small: int) -> None:
    less, more = ranked(small), ranked(small * 2)
    for name, one in less.items():
        if one.fits:
            assert more[name].fits, name


def test_what_can_be_pulled_is_only_what_a_listing_showed() -> None:
    for one in fits(studio(512), MEANS):
        ref = one.row.candidate.ref
        assert (
            not ref or ref == f"hf:{one.model.files[one.row.candidate.quantization]}:{one.row.candidate.quantization}"
        )


def test_data_has_stable_keys() -> None:
    place, wish = studio(96), Wish()
    data = to_data(fits(place, MEANS, wish), place, wish)
    assert data["machine"]["name"] == "m3-ultra-96"
    first = data["models"][0]
    assert {"id", "name", "parameters", "fits", "remarks", "why_not", "machines", "choice", "source"} <= set(first)
    assert first["fits"] is True
