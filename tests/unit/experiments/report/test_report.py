from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.unit.experiments.report.report_sample import experiment, failed, measured, run, runs

from ultralab.experiments.report import Written, comparison_table, draw, write_report
from ultralab.experiments.report.html import TEMPLATES
from ultralab.experiments.types import ExperimentRecord, RunRecord, Spread
from ultralab.kernel.errors import InvalidSpec
from ultralab.pages import parts_of

HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=y> <!-- ultralab:end results --> | `$a_b$` {{ 7*7 }}"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What a browser would see of a page: tags with attributes, visible words, unclosed tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style" and data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return "\n".join(self.words)


def written(
    folder: Path, records: Sequence[RunRecord], language: str = "en", record: ExperimentRecord | None = None
) -> tuple[Written, Page, str]:
    files = write_report(folder, record or experiment(), records, language)
    return files, Page(files.html.read_text(encoding="utf-8")), files.markdown.read_text(encoding="utf-8")


def test_what_is_written(tmp_path: Path) -> None:
    files, _page, _document = written(tmp_path, runs())
    assert files == Written(
        tmp_path / "report.md",
        tmp_path / "report.html",
        tuple(tmp_path / "plots" / f"{name}.svg" for name in ("quality", "speed", "prediction")),
    )
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["plots/prediction.svg", "plots/quality.svg", "plots/speed.svg", "report.html", "report.md"]


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    def everything(folder: Path) -> dict[str, bytes]:
        write_report(folder, experiment(), runs(), "en")
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = everything(tmp_path / "a")
    assert everything(tmp_path / "b") == first
    assert everything(tmp_path / "a") == first


@pytest.mark.parametrize(("language", "tag"), [("en", "en"), ("zh_CN", "zh-CN")])
def test_the_page_asks_nobody_for_anything(tmp_path: Path, language: str, tag: str) -> None:
    files, page, _document = written(tmp_path, runs(), language)
    names = {name for name, _attributes in page.tags}
    assert (
        names & {"script", "link", "iframe", "object", "embed", "form", "base", "img", "image", "foreignobject"}
        == set()
    )
    assert not re.search(r"https?:|//\w|@import|url\((?!#)|\bon\w+=", files.html.read_text(encoding="utf-8"))
    targets = [value for _name, given in page.tags for key, value in given.items() if key in ("href", "src")]
    assert all(target is not None and target.startswith("#") for target in targets)
    policies = [given["content"] for _name, given in page.tags if given.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert [given["lang"] for name, given in page.tags if name == "html"] == [tag]
    assert page.open == []


def test_the_page_shows_every_run_and_where_it_comes_from(tmp_path: Path) -> None:
    _files, page, document = written(tmp_path, runs())
    for record in runs():
        for fact in (record.id, record.model_ref, record.model_sha256[0], record.engine_version, record.quantization):
            assert fact in page.text
            assert fact in document
    place = experiment().provenance
    for fact in (place.git_commit, place.python, place.platform, place.ultralab, "AMD EPYC 7B13", "ab" * 32, "Ada"):
        assert fact in page.text
        assert fact in document
    assert sum(name == "details" for name, _attributes in page.tags) == len(runs()) + 1
    assert [name for name, _attributes in page.tags].count("svg") == 6


def test_tables_say_what_their_headings_head(tmp_path: Path) -> None:
    _files, page, _document = written(tmp_path, runs())
    heads = [given.get("scope") for name, given in page.tags if name == "th"]
    assert heads == [*["col"] * 10, *["row"] * 5, *["col"] * 9, *["row"] * 5]
    pictures = [given for name, given in page.tags if name == "svg"]
    assert all(given.get("role") == "img" and given.get("aria-label") for given in pictures)
    ids = [given["id"] for _name, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))


def test_the_document_follows_the_template_and_its_links_lead_somewhere(tmp_path: Path) -> None:
    files, _page, document = written(tmp_path, runs())
    assert re.findall(r"^#{1,2} .*$", document, re.MULTILINE) == [
        "# Experiment: What quantization costs and saves",
        "## Metadata",
        "## Goal",
        "## Method",
        "## Setup",
        "## Results",
        "## Conclusions",
        "## Next steps",
        "## References",
        "## The runs in detail",
    ]
    assert list(parts_of(document)) == [
        "metadata", "goal", "method", "setup", "results", "conclusions", "next_steps", "references", "runs",
    ]  # fmt: skip
    assert re.findall(r"\]\(([^)]+)\)", document) == [
        "plots/quality.svg", "plots/speed.svg", "plots/prediction.svg", "report.html", "experiment.yaml", "runs/",
    ]  # fmt: skip
    assert "\nultralab run experiment.yaml\n" in document
    assert "<code>ultralab run experiment.yaml</code>" in files.html.read_text(encoding="utf-8")
    assert "| Q4_0 | 5.37 | 86.1 MiB | 213 MiB (−2.9%) | **118** (+7.5%) | **398** (+16.7%) |" in document


def test_the_owners_notes_survive_and_old_figures_do_not(tmp_path: Path) -> None:
    files, _page, document = written(tmp_path, runs())
    mine = document.replace(
        "<!-- ultralab:begin results -->", "I doubt the third run.\n\n<!-- ultralab:begin results -->"
    )
    files.markdown.write_text(mine + "\nMy last words.\n", encoding="utf-8")
    faster = replace(run("Q8_0"), measured=replace(measured("Q8_0"), decode_tok_s=Spread((301.0, 302.0, 303.0))))
    _files, _page, again = written(tmp_path, (*(record for record in runs() if record.variant != "q8_0"), faster))
    assert "I doubt the third run." in again
    assert again.endswith("\nMy last words.\n")
    assert ("**302** (+174.5%)" in again, "85.2" in parts_of(again)["results"]) == (True, False)


def test_broken_fences_are_told_and_nothing_is_overwritten(tmp_path: Path) -> None:
    files, _page, document = written(tmp_path, runs())
    broken = document.replace("<!-- ultralab:end results -->", "")
    files.markdown.write_text(broken, encoding="utf-8")
    with pytest.raises(InvalidSpec, match="results"):
        write_report(tmp_path, experiment(), runs(), "en")
    assert files.markdown.read_text(encoding="utf-8") == broken


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    harm = replace(
        run("Q8_0"), variant=HOSTILE, model_title=HOSTILE, model_ref=HOSTILE, engine_version=HOSTILE,
        options={HOSTILE: HOSTILE}, quantization=HOSTILE, model_sha256=(HOSTILE,),
    )  # fmt: skip
    place = replace(experiment().provenance, machine={HOSTILE: HOSTILE, "nested": {"a": HOSTILE}}, packages=(HOSTILE,))
    record = replace(
        experiment(), title=HOSTILE, question=HOSTILE, author=HOSTILE, tags=(HOSTILE,), problem=HOSTILE,
        provenance=place, status="failed", spec_file=HOSTILE,
    )  # fmt: skip
    clean = Page(write_report(tmp_path / "clean", experiment(), runs(), "en").html.read_text(encoding="utf-8"))
    files, page, document = written(tmp_path / "harm", (run("Q4_1"), harm, failed("Q4_0", HOSTILE)), record=record)
    kinds = {name for name, _attributes in page.tags}
    assert kinds <= {name for name, _attributes in clean.tags}
    assert not any(key.startswith("on") for _name, given in page.tags for key in given)
    shown = " ".join(HOSTILE.split())
    assert {shown, f"{shown} failed"} & set(page.words)
    assert "<script" not in document
    assert "<img" not in document
    assert len(parts_of(document)) == 9
    assert all("<script" not in plot.read_text(encoding="utf-8") for plot in files.plots)
    rows = [line for line in document.splitlines() if line.startswith("| ") and "&lt;script&gt;" in line]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {10, 11}


def test_failed_and_interrupted_runs_are_listed_with_their_problem(tmp_path: Path) -> None:
    stopped = replace(failed("Q4_0", "Interrupted."), status="interrupted")
    record = replace(experiment(), status="interrupted")
    _files, page, document = written(tmp_path, (run("Q4_1"), failed("Q8_0"), stopped), record=record)
    for said in (page.text, document):
        assert "Q8_0 failed: The engine's process died with signal 9." in said
        assert "Q4_0 was interrupted: Interrupted." in said
        assert "This experiment was interrupted: 1 of 3 runs finished." in said


@pytest.mark.parametrize(
    "records", [(), (failed("Q4_1"),), (run("Q4_1"),), (run("Q8_0"),), (failed("Q4_1"), run("Q8_0"), run("Q4_0"))]
)
def test_few_or_no_figures_still_make_a_report(tmp_path: Path, records: tuple[RunRecord, ...]) -> None:
    files, page, document = written(tmp_path, records)
    assert page.open == []
    assert {"html", "main"} <= {name for name, _attributes in page.tags}
    assert re.findall(r"\]\((plots/[^)]+)\)", document) == [f"plots/{path.name}" for path in files.plots]


def test_every_word_of_the_furniture_can_be_translated() -> None:
    """In a language in which every word is a bullet, nothing is left but recorded values, units and commands."""
    bare = replace(experiment(), title="•", question="•", kind="•", tags=("•",), status="interrupted")
    records = (*runs(), failed("Q4_1", "•"), replace(failed("Q8_0", ""), status="interrupted"))
    drawn = draw(bare, records, {}, "zh_CN", _bullets)
    page, labels = Page(drawn.page), re.findall(r'aria-label="([^"]*)"', drawn.page)
    sources = [page.text, *labels, *(re.sub(r"(?s)<style.*?</style>", "", plot.file) for plot in drawn.plots)]
    words = {word for text in sources for word in re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]*>", " ", text))}
    recorded = {word for value in _values((asdict(bare), [asdict(one) for one in records])) for word in _words(value)}
    units = {"ultralab", "Python", "SHA", "tok", "bpw", "MiB", "GiB", "GB", "ms", "min"}
    named_by_others = {"os", "context", "threads"}  # keys of the sample's machine, options
    commands = {"experiments", "run", "yaml"}
    assert words - recorded - units - commands - named_by_others == set()


def _values(data: object) -> list[str]:
    """Every value, not the names of the fields."""
    if isinstance(data, dict):
        return [text for value in data.values() for text in _values(value)]
    if isinstance(data, list | tuple):
        return [text for value in data for text in _values(value)]
    return [str(data)]


def _words(text: str) -> list[str]:
    return re.findall(r"[A-Za-z]{2,}", text)


def _bullets(message: str) -> str:
    return re.sub(r"\{[^}]*\}|\w+", lambda match: match[0] if match[0].startswith("{") else "•", message)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(scheme: str) -> None:
    """WCAG 2 contrast of at least 4.5 for each colour of words on each ground it is used on."""
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATES / "report.css").read_text(encoding="utf-8"), re.DOTALL)
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", blocks[("light", "dark").index(scheme)]))
    pairs = [
        *((ink, ground) for ink in ("ink", "muted") for ground in ("page", "card", "wash")),
        ("main", "card"), ("reference", "card"), ("reference", "wash"), ("good", "card"), ("good", "wash"),
        ("bad", "page"), ("bad", "card"), ("bad", "bad-wash"),
    ]  # fmt: skip
    assert {pair: ratio for pair in pairs if (ratio := _contrast(colour[pair[0]], colour[pair[1]])) < 4.5} == {}


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_terminal_gets_the_same_figures() -> None:
    table = comparison_table(runs(), "en")
    assert [head.text for head in table.headings] == [
        "Variant", "Bits per weight", "File", "Memory", "Decode", "Prefill", "TTFT", "Perplexity", "NLL",
        "Same favourite token",
    ]  # fmt: skip
    assert [(line.name, line.tag, line.cells[2].text, line.cells[2].note) for line in table.lines] == [
        ("Q8_0", "", "264 MiB", "+20.6%"),
        ("Q5_1", "", "232 MiB", "+5.8%"),
        ("Q4_1", "reference", "219 MiB", ""),
        ("Q4_0", "", "213 MiB", "−2.9%"),
        ("MXFP4", "", "210 MiB", "−4.2%"),
    ]
