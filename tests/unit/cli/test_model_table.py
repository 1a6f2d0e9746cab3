"""How many columns of the models' table fit, and what each row says."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from ultralab.app.model_catalog import Listed
from ultralab.cli.models.tables import columns_that_fit, draw_models
from ultralab.kernel.text import display_width
from ultralab.models.types import ModelFile, ModelRecord

RECORD = ModelRecord(
    name="qwen3-8b", variant="q4_k_m", title="Qwen3 8B", family="qwen3", format="gguf", architecture="qwen3",
    parameters=8_190_735_360, quantization="Q4_K_M", bits_per_weight=4.91, context=40960, licence="apache-2.0",
    source="hf:Qwen/Qwen3-8B-GGUF:Q4_K_M", source_url="", added="2026-11-23T10:00:00+00:00", added_by="Ada",
    files=(ModelFile("a.gguf", 5 << 30, "0" * 64),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("widths", "room", "count"),
    [
        ([30, 8, 6], 52, 3),
        ([30, 8, 6], 51, 2),
        ([200, 8, 6], 80, 2),
        ([10], 80, 1),
        ([10, 10, 10, 10], 1000, 4),
    ],
)
def test_columns_that_fit(widths: list[int], room: int, count: int) -> None:
    assert columns_that_fit(widths, room) == count


def _drawn(width: int, *listed: Listed) -> list[str]:
    out = io.StringIO()
    draw_models(Console(file=out, width=width, markup=False, highlight=False, emoji=False), listed)
    return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]


def test_a_wide_table_says_where_a_model_is_from() -> None:
    source = "/Users/someone/模型/" + "a-long-folder/" * 20
    lines = _drawn(120, Listed(RECORD, ""), Listed(replace(RECORD, name="other", source=source, context=0), ""))
    assert lines[2].split() == [
        "qwen3-8b:q4_k_m",
        "5.00",
        "GiB",
        "4.91",
        "8.19B",
        "40960",
        "gguf",
        "hf:Qwen/Qwen3-8B-GGUF:Q4_K_M",
    ]
    assert lines[3].split()[:6] == ["other:q4_k_m", "5.00", "GiB", "4.91", "8.19B", "–"]
    assert lines[3].endswith("…")
    assert (len(lines), max(map(display_width, lines)) <= 120) == (4, True)


def test_marks_are_explained_where_they_occur() -> None:
    unsafe = replace(RECORD, name="old", unsafe=("It calls os.system.",))
    lines = _drawn(80, Listed(unsafe, "missing"), Listed(RECORD, "unplugged"))
    assert (lines[2].split()[:3], lines[3].split()[:2]) == (["old:q4_k_m", "⚠", "✗"], ["qwen3-8b:q4_k_m", "⏏"])
    assert [line[:2] for line in lines[4:]] == ["⚠ ", "⏏ ", "✗ "]
    assert len(_drawn(80, Listed(RECORD, ""))) == 3


def test_a_reference_wider_than_the_terminal_is_folded_not_cut() -> None:
    long = replace(RECORD, name="a" * 90)
    lines = _drawn(60, Listed(long, ""))
    assert "".join(line.split()[0] for line in lines[2:]).replace("5.00", "") == long.ref
