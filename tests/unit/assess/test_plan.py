"""The plan of one model on one machine: what fits, the longest context, what is doubted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.architectures.dense import LLAMA_31_8B
from tests.architectures.mixtures import MODELS as MIXTURES
from tests.architectures.recurrent import MODELS as RECURRENT
from tests.architectures.windows import MODELS as WINDOWS
from tests.gguf_maker import small_model

from ultralab.assess.engines import MEMORY
from ultralab.assess.places import place
from ultralab.assess.plan import fits, longest, max_context, plan, require_sensible
from ultralab.assess.types import Question
from ultralab.kernel.errors import RequestError
from ultralab.models.formats.base import ModelHeader
from ultralab.models.formats.gguf import summarize
from ultralab.models.formats.gguf_reader import read_gguf
from ultralab.planner.types import Amount, Demand, MemoryPlan

if TYPE_CHECKING:
    from tests.architectures.base import Known

M3 = place("m3-ultra-96")


def header_of(folder: Path, content: bytes) -> ModelHeader:
    path = folder / "model.gguf"
    path.write_bytes(content)
    return summarize(read_gguf(path, weights=False))


@pytest.fixture
def llama(tmp_path: Path) -> ModelHeader:
    return header_of(tmp_path, LLAMA_31_8B.header())


@pytest.fixture
def unknown(tmp_path: Path) -> ModelHeader:
    return header_of(tmp_path, small_model().replace(b"llama", b"lamma"))


def memory(weights: int, rest: int, *, known: bool = True) -> MemoryPlan:
    return MemoryPlan(Amount(weights), Amount(rest, known=known), Amount(0), Amount(0))


@pytest.mark.parametrize(
    ("needs", "limit", "expected"),
    [
        (memory(60, 40), 100, True),
        (memory(60, 41), 100, False),
        (memory(60, 40, known=False), 100, True),
        (memory(60, 41, known=False), 100, None),
        (memory(101, 0, known=False), 100, False),
    ],
)
def test_a_bound_that_fits_is_a_yes_and_weights_that_do_not_are_a_no(
    needs: MemoryPlan, limit: int, expected: bool | None
) -> None:
    assert fits(needs, limit) is expected


def by_hand(needed: Callable[[int], int], most: int, limit: int) -> int:
    """Every step is tried, from the longest."""
    steps = (min(at * 256, most) for at in range(-(-most // 256), 0, -1))
    return next((context for context in steps if needed(context) <= limit), 0)


def straight(context: int) -> int:
    return 1000 + 3 * context


def bent(context: int) -> int:
    return 1000 + 3 * context + max(0, context - 5000) ** 2 // 50


def stepped(context: int) -> int:
    return 1000 + (context // 4096) * 10_000


@pytest.mark.parametrize("needed", [straight, bent, stepped])
@pytest.mark.parametrize("trained", [100, 256, 257, 4096, 20_000])
@pytest.mark.parametrize("asked", [1, 100, 255, 256, 1000, 4096, 4097, 30_000])
def test_the_longest_context_is_that_of_trying_every_one(
    needed: Callable[[int], int], trained: int, asked: int
) -> None:
    contexts = (1, 99, 100, 256, 257, 511, 512, 4096, 9999, trained - 1, trained, trained + 1)
    for limit in {needed(context) + more for context in contexts for more in (-1, 0, 1)}:
        assert longest(needed, trained, asked, limit) == by_hand(needed, trained, limit), (limit, asked)


@pytest.mark.parametrize("known", [LLAMA_31_8B, WINDOWS[0], MIXTURES[0], RECURRENT[0]], ids=lambda known: known.name)
@pytest.mark.parametrize("flash", [True, False])
def test_one_token_more_than_the_longest_context_does_not_fit(known: Known, flash: bool, tmp_path: Path) -> None:
    shape = header_of(tmp_path, known.header()).shape
    demand = Demand(4096, 2, flash=flash)
    trained = shape.trained_context or 1_048_576

    def total(context: int) -> int:
        return MEMORY["llamacpp"](shape, replace(demand, context=context)).total

    for share in (0.1, 0.5, 0.9):
        limit = int(total(256) + share * (total(trained) - total(256)))
        found = max_context(shape, Question(demand), limit)
        assert found
        assert total(found) <= limit
        assert found == trained or total(found + 1) > limit
    assert max_context(shape, Question(demand), total(256) - 1) == 0
    assert max_context(shape, Question(demand), total(trained)) == trained


def test_no_context_fits_where_the_weights_do_not(llama: ModelHeader) -> None:
    assert max_context(llama.shape, Question(Demand(4096)), llama.shape.weight_bytes - 1) == 0


def test_a_context_beyond_training_is_planned_but_never_the_longest(llama: ModelHeader) -> None:
    found = plan("x", llama, Question(Demand(262_144)), place("m3-ultra-512"), None)
    assert found.max_context == 131_072
    assert found.fits is True
    (warning,) = found.warnings
    assert "262144" in warning
    assert "131072" in warning


def test_an_unknown_architecture_gets_no_value_but_bounds(unknown: ModelHeader) -> None:
    found = plan("x", unknown, Question(Demand(64)), M3, None)
    assert (found.memory.known, found.max_context, found.fits) == (False, None, True)
    for speed in (found.decode, found.decode_begun, found.prefill):
        assert speed.prediction.value == 0
        assert speed.prediction.high > 0
        assert speed.of_nominal is None
    assert found.ttft.value == 0
    assert any("lamma" in warning for warning in found.warnings)


def test_a_prompt_is_not_longer_than_the_context(llama: ModelHeader) -> None:
    found = plan("x", llama, Question(Demand(256), prompt=4096), M3, None)
    assert found.question.prompt == 256
    assert found.decode.prediction == found.decode_begun.prediction


@pytest.mark.parametrize(
    "question",
    [
        Question(Demand(0)), Question(Demand(-1)), Question(Demand(10**9)), Question(Demand(1, 0)),
        Question(Demand(1, 257)), Question(Demand(1), prompt=0), Question(Demand(1, ubatch=0)),
        Question(Demand(1, ubatch=2**21)), Question(Demand(1, value_type="q8_0", flash=False)),
    ],
)  # fmt: skip
def test_absurd_questions(question: Question) -> None:
    with pytest.raises(RequestError) as caught:
        require_sensible(question)
    assert caught.value.hint


def test_the_most_that_can_be_asked() -> None:
    require_sensible(Question(Demand(100_000_000, 256, ubatch=1_048_576), prompt=100_000_000))
    require_sensible(Question(Demand(1, key_type="q8_0", flash=False), prompt=1))
