"""A plan as data, and plans with better figures in them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.architectures.dense import LLAMA_31_8B, MODELS
from tests.gguf_maker import small_model
from tests.machines import PC

from ultralab.assess.data import to_data
from ultralab.assess.exact import ExactAnswer
from ultralab.assess.places import place, this_place
from ultralab.assess.plan import plan
from ultralab.assess.refined import with_answer, with_memory
from ultralab.assess.types import Place, Plan, Question
from ultralab.kernel.units import GIB, MIB
from ultralab.models.formats.base import ModelHeader
from ultralab.models.formats.gguf import summarize
from ultralab.models.formats.gguf_reader import read_gguf
from ultralab.planner.attached import with_draft
from ultralab.planner.types import Amount, Demand

HERE = this_place(PC, 40 * GIB, 10 * GIB, 35 * GIB)
PARTS = ("weights_bytes", "kv_cache_bytes", "compute_bytes", "overhead_bytes", "total_bytes")


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


def planned(header: ModelHeader, where: Place = HERE, context: int = 4096) -> Plan:
    return plan("x", header, Question(Demand(context)), where, None)


def data_of(made: Plan) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(to_data(made), allow_nan=False))
    return found


def test_numbers_are_numbers_and_parts_add_up(llama: ModelHeader) -> None:
    found = data_of(planned(llama))
    assert all(isinstance(found[key], int) for key in (*PARTS, "limit_bytes", "available_bytes", "max_context"))
    assert all(isinstance(found[key], float) for key in ("decode_tok_s", "prefill_tok_s", "ttft_s"))
    assert sum(found[key] for key in PARTS[:-1]) == found["total_bytes"]
    for key in (*PARTS, "decode_tok_s", "prefill_tok_s", "ttft_s"):
        told = found["predictions"][key]
        assert told["low"] <= told["value"] == found[key] <= told["high"]
        assert told["basis"]


def test_what_nobody_knows_is_null_with_an_upper_bound(unknown: ModelHeader) -> None:
    found = data_of(planned(unknown, context=64))
    for key in ("kv_cache_bytes", "compute_bytes", "total_bytes", "decode_tok_s", "prefill_tok_s", "ttft_s"):
        assert found[key] is found["predictions"][key]["value"] is found["predictions"][key]["low"] is None
        assert found["predictions"][key]["known"] is False
        assert found["predictions"][key]["basis"]
        assert key == "ttft_s" or found["predictions"][key]["high"] > 0
    assert found["weights_bytes"] > 0
    assert (found["fits"], found["fits_now"], found["max_context"]) == (True, True, None)


def test_what_fits_now_is_what_reservations_leave(llama: ModelHeader) -> None:
    total = planned(llama).memory.total
    for reserved, now in ((40 * GIB - total, True), (40 * GIB - total + 1, False), (41 * GIB, False)):
        found = data_of(planned(llama, this_place(PC, 40 * GIB, reserved, 35 * GIB)))
        assert found["available_bytes"] == max(0, 40 * GIB - reserved)
        assert (found["fits"], found["fits_now"]) == (True, now)


def test_another_machine_has_no_now(llama: ModelHeader) -> None:
    assert data_of(planned(llama, place("m3-ultra-96")))["fits_now"] is None


def answer(made: Plan, more: int = 0) -> ExactAnswer:
    memory = made.memory
    return ExactAnswer(memory.weights.bytes, memory.kv_cache.bytes, memory.compute.bytes + more, "llama.cpp", 0.1)


def test_an_answer_that_is_ours_changes_no_longest_context(llama: ModelHeader) -> None:
    made = planned(llama, place("m1-16"))
    found = with_answer(made, answer(made))
    assert made.max_context == found.max_context
    assert 0 < (found.max_context or 0) < 131_072


def test_the_longest_context_follows_the_answer(llama: ModelHeader) -> None:
    made = planned(llama, place("m1-16"))
    found = with_answer(made, answer(made, 512 * MIB))
    # 2 · 2 bytes · 32 layers · 8 heads · 128 = 128 KiB per token: 4,096 tokens fewer, and less for the compute buffer
    assert 0 < (made.max_context or 0) - (found.max_context or 0) <= 4096
    too_much = with_answer(made, answer(made, 16 * GIB))
    assert (too_much.fits, too_much.max_context) == (False, 0)


def test_an_answer_about_another_machine_says_that_its_backend_was_not_asked(llama: ModelHeader) -> None:
    here, there = (with_answer(made, answer(made)) for made in (planned(llama), planned(llama, place("m1-16"))))
    assert (here.memory.compute.error_band, here.memory.weights.error_band) == (0, 0)
    assert (there.memory.compute.error_band > 0, there.memory.weights.error_band) == (True, 0)


def test_an_answer_ends_the_doubt(unknown: ModelHeader) -> None:
    made = planned(unknown, context=64)
    found = with_answer(made, answer(made))
    assert any("lamma" in warning for warning in made.warnings)
    assert (found.memory.known, found.fits, found.max_context, found.warnings) == (True, True, None, ())


def test_a_draft_model_takes_of_the_context(llama: ModelHeader, tmp_path: Path) -> None:
    small = header_of(tmp_path, next(known for known in MODELS if known.name == "Qwen3-0.6B-Q8_0").header())
    made, second = planned(llama, place("m1-16")), planned(small, place("m1-16"))
    found = with_memory(made, with_draft(made.memory, second.memory), second)
    assert found.memory.weights.bytes == made.memory.weights.bytes + second.memory.weights.bytes
    longest = found.max_context or 0
    assert 0 < longest < (made.max_context or 0)
    for context, fits in ((longest, True), (longest + 256, False)):
        both = [replace(one.question, demand=Demand(context)) for one in (made, second)]
        again = [plan("x", one.header, asks, made.place, None) for one, asks in zip((made, second), both, strict=True)]
        assert with_memory(again[0], with_draft(again[0].memory, again[1].memory), again[1]).fits is fits


def test_an_unknown_draft_model_is_named(llama: ModelHeader, unknown: ModelHeader) -> None:
    made, second = planned(llama), planned(unknown, context=64)
    found = with_memory(made, with_draft(made.memory, second.memory), second)
    assert found.max_context is None
    assert [warning for warning in found.warnings if "not known" in warning and "'lamma'" in warning]
    assert not [warning for warning in found.warnings if "'llama'" in warning]


def test_more_memory_beside_a_model_shortens_its_context(llama: ModelHeader) -> None:
    made = planned(llama, place("m1-16"))
    heavier = replace(made.memory, compute=Amount(made.memory.compute.bytes + 2 * GIB))
    found = with_memory(made, heavier)
    assert (found.max_context or 0) <= (made.max_context or 0) - 4096
