"""Advice: the rule, what is said about it, and what would help where nothing fits."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from tests.unit.assess.advice_means import MEANS, studio

from ultralab.assess.advice.advise import advise
from ultralab.assess.advice.changes import machines_needed
from ultralab.assess.advice.choice import choose, quality_of
from ultralab.assess.advice.data import to_data
from ultralab.assess.advice.fits import candidates_of
from ultralab.assess.advice.means import means_of
from ultralab.assess.advice.quality import OWN, Loss
from ultralab.assess.advice.types import Advice, Candidate, Means, Wish
from ultralab.assess.known.models import find
from ultralab.kernel.errors import RequestError, Unsupported
from ultralab.kernel.units import GIB
from ultralab.planner.hardware import Speed
from ultralab.planner.types import Prediction


def asked(
    name: str, gib: int, wish: Wish | None = None, means: Means = MEANS, measured: tuple[Loss, ...] = ()
) -> Advice:
    return advise(name, candidates_of(find(name)), studio(gib), wish or Wish(), means, measured=measured)


def test_the_best_quality_that_fits_and_is_fast_enough_is_chosen() -> None:
    advice = asked("qwen3-235b", 256)
    assert advice.chosen is not None
    assert advice.chosen.candidate.quantization == "Q6_K"
    assert "Q6_K" in advice.why[0]
    assert any("The next better, MLX 8-bit" in sentence or "Q8_0" in sentence for sentence in advice.why)
    assert advice.changes == ()
    assert advice.machines == 1


def test_a_slower_wish_takes_more_bits_and_a_faster_one_fewer() -> None:
    def chosen(least: float) -> float:
        found = asked("llama-3.3-70b", 256, Wish(least_decode=least)).chosen
        assert found is not None
        return found.candidate.bits_per_weight

    assert [chosen(1) > chosen(7) > chosen(8.5) >= 4, chosen(1) > 8] == [True, True]


def test_below_four_bits_only_where_nothing_else_fits() -> None:
    roomy, tight = asked("glm-4.6", 512).chosen, asked("glm-4.6", 256).chosen
    assert roomy is not None
    assert tight is not None
    assert roomy.candidate.bits_per_weight >= 4
    assert tight.candidate.quantization == "Q3_K_M"
    assert tight.fits is True


def test_none_even_half_as_fast_gives_the_fastest_of_four_bits_and_says_so() -> None:
    advice = asked("llama-3.1-405b", 512)
    assert advice.chosen is not None
    assert advice.chosen.candidate.quantization == "IQ4_XS"
    assert any("none that fits reaches the 10" in sentence for sentence in advice.why)
    assert any("even half of it" in sentence for sentence in advice.why)
    assert [change.kind for change in advice.changes] == ["quantization"]


@pytest.mark.parametrize(("least", "bits"), [(8.0, 6.5), (6.25, 6.5), (10.0, 4.8)])
def test_none_fast_enough_gives_the_best_that_is_half_as_fast_but_no_more_than_quality_is_worth(
    least: float, bits: float
) -> None:
    """Half of 6.25 tok/s would do for Q8_0 (3.1), which is no better than Q6_K to any measurement."""
    advice = asked("mistral-large-2", 512, Wish(least_decode=least))
    assert advice.chosen is not None
    assert advice.chosen.candidate.bits_per_weight == pytest.approx(bits, abs=0.1)
    assert advice.chosen.decode.prediction.value >= least / 2
    assert any("half as fast" in sentence for sentence in advice.why)
    faster = [change for change in advice.changes if change.kind == "quantization"]
    assert "IQ4_XS" in faster[0].sentence
    assert "Q2_K" in faster[-1].sentence


def test_a_context_that_it_was_not_trained_for_is_said() -> None:
    def said(context: int) -> str:
        return " ".join(asked("qwen3-32b", 256, Wish(context=context)).why)

    assert "trained for 40,960 tokens" in said(100_000)
    assert "trained for" not in said(40_960)


def test_bits_beyond_the_trained_ones_are_not_even_listed() -> None:
    """DeepSeek-V4-Flash is published with experts in four bits: Q8_0 would be twice its own size."""
    assert max(one.bits_per_weight for one in candidates_of(find("deepseek-v4-flash"))) < 5


def test_a_raised_limit_is_offered_where_it_is_worth_half_a_bit() -> None:
    """The 671 billion on 512 GB: what most people who do it have set."""
    (change,) = asked("deepseek-r1", 512).changes
    assert change.kind == "limit"
    assert "Q5_K_M" in change.sentence
    assert "ultralab plan limits" in change.sentence
    assert 384 * GIB < change.total_bytes < 464 * GIB
    linux = replace(studio(512), hardware=replace(studio(512).hardware, chip="AMD EPYC"))
    assert advise("x", candidates_of(find("deepseek-r1")), linux, Wish(), MEANS).changes == ()


def test_plain_blocks_are_no_better_than_a_smaller_mixture() -> None:
    rows = {row.candidate.quantization: row for row in asked("deepseek-r1", 512).rows}
    bits = {name: row.candidate.bits_per_weight for name, row in rows.items()}
    assert bits["MLX 4-bit"] > bits["IQ4_XS"] > bits["Q3_K_M"]
    assert quality_of(rows["IQ4_XS"]) > quality_of(rows["MLX 4-bit"]) > quality_of(rows["Q3_K_M"])
    assert quality_of(rows["MLX 8-bit"]) == quality_of(rows["Q8_0"])


@pytest.mark.parametrize(
    ("model", "quantization"), [("deepseek-r1", "IQ4_NL"), ("glm-5", "IQ4_XS"), ("kimi-k2-thinking", "UD-Q2_K_XL")]
)
def test_the_largest_models_on_the_reference_machine_can_be_pulled(model: str, quantization: str) -> None:
    chosen = asked(model, 512).chosen
    assert chosen is not None
    assert chosen.candidate.quantization == quantization
    assert chosen.candidate.ref.startswith("hf:")


def test_an_engine_that_cannot_keep_its_cache_as_wished_has_no_row() -> None:
    place, wish = studio(512), Wish(key_type="q8_0", value_type="q8_0")
    means, candidates = means_of(place, None), candidates_of(find("deepseek-r1"))
    advice = advise("x", candidates, place, wish, means)
    assert {row.question.engine for row in advice.rows} == {"llamacpp"}
    mlx = [one for one in candidates if one.format == "mlx"]
    with pytest.raises(Unsupported, match="cannot quantize"):
        advise("x", mlx, place, wish, means)
    changes = advise("x", mlx, studio(256), Wish(), means_of(studio(256), None)).changes
    assert [change.kind for change in changes] == ["machines"]


def test_own_measurements_of_the_model_decide_where_every_row_has_one() -> None:
    names = [candidate.quantization for candidate in candidates_of(find("qwen3-32b"))]
    best = "MLX 8-bit"  # as good as Q8_0, and a little smaller
    ratios = dict.fromkeys(names, 1.01) | {"Q4_K_M": 1.001}
    own = tuple(Loss(name, "Qwen3-32B", "F16", "t", OWN, ratio) for name, ratio in ratios.items())
    for measured, expected in ((own, "Q4_K_M"), (own[1:], best), ((), best)):
        chosen = asked("qwen3-32b", 256, Wish(least_decode=5), measured=measured).chosen
        assert chosen is not None
        assert chosen.candidate.quantization == expected


def test_bits_beyond_those_a_model_was_trained_in_count_for_nothing() -> None:
    base = candidates_of(find("qwen3-32b"))
    trained = tuple(replace(one, trained_bits=4) for one in base)
    rows = advise("x", trained, studio(256), Wish(least_decode=1), MEANS).chosen
    assert rows is not None
    fitting = [one for one in trained if one.bits_per_weight >= 4]
    assert rows.candidate.shape.bytes_per_token == min(one.shape.bytes_per_token for one in fitting)


def test_what_a_foreign_figure_was_measured_on_is_said() -> None:
    text = " ".join(asked("llama-3.1-405b", 512).why)
    assert "measured on Llama-3-8B" in text
    assert "another model" in text


def test_nothing_fits_raise_the_limit_or_take_more_machines() -> None:
    advice = asked("deepseek-r1", 256)
    assert advice.chosen is None
    assert "Nothing fits" in advice.why[0]
    kinds = [change.kind for change in advice.changes]
    assert kinds == ["limit", "machines"]
    assert all(change.fits and change.sentence for change in advice.changes)
    assert advice.machines == 2


def test_a_shorter_context_or_a_smaller_cache_are_offered_where_they_are_what_is_missing() -> None:
    model = find("mistral-large-2")
    (four,) = (one for one in candidates_of(model) if one.quantization == "Q4_K_M")
    advice = advise(model.name, (four,), studio(128), Wish(context=131_072), MEANS)
    assert advice.chosen is None
    changes = {change.kind: change for change in advice.changes}
    assert {"kv", "context"} <= set(changes)
    limit = advice.place.limit_bytes
    assert changes["kv"].total_bytes < limit
    assert limit * 0.95 < changes["context"].total_bytes <= limit * (1 - advice.wish.margin)


def test_several_sequences_can_be_given_up() -> None:
    model = find("mistral-large-2")
    (four,) = (one for one in candidates_of(model) if one.quantization == "Q4_K_M")
    advice = advise(model.name, (four,), studio(128), Wish(context=32_768, sequences=8), MEANS)
    assert "sequences" in [change.kind for change in advice.changes]


def test_machines_are_those_that_weights_and_cache_divided_need() -> None:
    rows = asked("kimi-k2", 256).rows
    whole = next(row for row in rows if row.candidate.quantization == "Q8_0")
    place = studio(256)
    count = machines_needed(whole, place, Wish())
    assert count == -(-whole.needed // round(place.limit_bytes * 0.98))
    assert machines_needed(whole, replace(place, limit_bytes=1), Wish()) is None


def test_an_unknown_cache_is_never_a_yes_by_weights_alone() -> None:
    advice = asked("deepseek-v4-flash", 256, Wish(context=1_048_576))
    assert {row.fits for row in advice.rows} <= {False, None}
    assert advice.chosen is None
    assert "Nobody can say" in advice.why[0]


def test_an_unknown_speed_is_no_reason_against_a_model() -> None:
    def unknown(*_args: object) -> tuple[Speed, Speed, Prediction]:
        nothing = Prediction(0.0, 0.0, 0.0, "unknown")
        return Speed(nothing), Speed(nothing), nothing

    advice = asked("qwen3-32b", 256, means=replace(MEANS, speeds=unknown))
    assert advice.chosen is not None
    assert advice.chosen.candidate.quantization == "Q8_0"
    assert any("not known" in sentence for sentence in advice.why)
    assert to_data(advice)["chosen"]["decode_tok_s"] is None


def test_contexts_make_further_rows_and_the_choice_stays_with_the_wanted_one() -> None:
    advice = advise(
        "x", candidates_of(find("qwen3-32b")), studio(96), Wish(context=8_192), MEANS, contexts=(32_768, 8_192)
    )
    assert {row.question.demand.context for row in advice.rows} == {8_192, 32_768}
    assert advice.chosen is not None
    assert advice.chosen.question.demand.context == 8_192


def test_data_has_stable_keys() -> None:
    data = to_data(asked("deepseek-r1", 512))
    assert {"model", "machine", "rows", "chosen", "why", "changes", "machines", "several_machines"} <= set(data)
    assert {"quantization", "engine", "context", "total_bytes", "fits", "decode_tok_s", "loss"} <= set(data["chosen"])
    assert data["several_machines"][0]["decode_tok_s"] == {"1": 21.1, "2": 27.8, "4": 32.5}


@pytest.mark.parametrize(
    "wish",
    [
        Wish(context=0),
        Wish(context=-1),
        Wish(sequences=0),
        Wish(sequences=1_000),
        Wish(least_decode=-1),
        Wish(prompt=0),
    ],
)
def test_absurd_wishes_are_refused(wish: Wish) -> None:
    with pytest.raises(RequestError):
        asked("qwen3-32b", 96, wish)


def test_no_candidate_is_an_error_and_no_engine_an_answer() -> None:
    with pytest.raises(RequestError):
        advise("x", (), studio(96), Wish(), MEANS)
    candidate = Candidate("x", "pytorch", "F16", find("qwen3-32b").shape("Q8_0"))
    advice = advise("x", (candidate,), studio(96), Wish(), MEANS)
    assert (advice.rows, advice.chosen) == ((), None)
    assert "No engine" in advice.why[0]
    assert choose((), Wish()) is None


def test_advice_takes_milliseconds() -> None:
    candidates = candidates_of(find("deepseek-r1"))
    advise("x", candidates, studio(512), Wish(), MEANS)
    start = time.perf_counter()
    for _round in range(10):
        advise("x", candidates, studio(512), Wish(), MEANS)
    assert (time.perf_counter() - start) / 10 < 0.05
