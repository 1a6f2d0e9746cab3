"""The guide to very large models: its figures, its languages, and that the owner's text stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.assess.advice_means import MEANS, studio

from ultralab.assess.advice.guide import PAGE, guide_text, write_guide
from ultralab.assess.known.models import models
from ultralab.kernel.language import current_language
from ultralab.pages import fill, parts_of


@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_the_guide_has_what_the_rules_promise(language: str) -> None:
    text = guide_text(studio(512), MEANS, language)
    part = parts_of(text)["machine"]
    assert "DeepSeek-R1" in part
    assert "671B" in part
    for needed in ("8,192", "32,768", "131,072", "377 GiB", "rdma_ctl", "32.5", "iogpu.wired_limit_mb=0"):
        assert needed in part, needed
    assert all(f"| {model.name}" in part for model in models())
    assert "beowulf-ai-cluster" in part
    assert "None" not in part
    assert current_language() == "en"


def test_what_is_tight_is_said_so_and_sources_stay_readable() -> None:
    part = parts_of(guide_text(studio(512), MEANS, "en"))["machine"]
    (four,) = (line for line in part.splitlines() if line.startswith("| Q4_K_M | llamacpp"))
    assert "| tight |" in four
    assert len(part.partition("### Sources")[2].splitlines()) < 10
    assert "raised from 384 GiB" in part


def test_a_model_that_does_not_fit_is_not_offered_to_be_pulled_and_another_one_waited_for() -> None:
    part = parts_of(guide_text(studio(96), MEANS, "en"))["machine"]
    assert "models pull" not in part
    waiting = part.partition("### What to expect")[2]
    assert "DeepSeek" not in waiting.partition("|")[0]


def test_this_machine_has_a_name() -> None:
    place = replace(studio(512), name="this")
    part = parts_of(guide_text(place, MEANS, "en"))["machine"]
    assert part.strip().startswith("## On this machine")


def test_both_languages_have_the_same_tables() -> None:
    shapes = [
        [line.count("|") for line in guide_text(studio(512), MEANS, language).splitlines() if line.startswith("|")]
        for language in ("en", "zh_CN")
    ]
    assert shapes[0] == shapes[1]


def test_a_machine_that_it_does_not_fit_says_what_to_change() -> None:
    part = parts_of(guide_text(studio(128), MEANS, "en"))["machine"]
    assert "Nothing fits" in part
    assert "such machines" in part


def test_a_machine_that_is_no_mac_has_no_limit_to_raise() -> None:
    assert "sysctl" not in guide_text(studio(512, chip="AMD EPYC"), MEANS, "en")


def test_writing_keeps_the_trees_part_and_the_owners_text(tmp_path: Path) -> None:
    page = tmp_path / PAGE
    page.parent.mkdir(parents=True)
    mine = fill("# Large models\n\nMine above.\n", {"metadata": "", "guide": "the tree's own"}) + "\nMine below.\n"
    page.write_text(mine, encoding="utf-8")
    assert write_guide(tmp_path, studio(512), MEANS, "en", "A. N. Author", "2026-11-23") == (PAGE,)
    document = page.read_text(encoding="utf-8")
    assert "Mine above." in document
    assert "Mine below." in document
    assert parts_of(document)["guide"] == "the tree's own"
    assert "A. N. Author" in parts_of(document)["metadata"]
    assert write_guide(tmp_path, studio(512), MEANS, "en", "A. N. Author", "2026-11-24") == ()
    assert write_guide(tmp_path, studio(256), MEANS, "en", "A. N. Author", "2026-11-24") == (PAGE,)
    assert "Mine below." in page.read_text(encoding="utf-8")


def test_a_new_page_begins_with_its_title(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    write_guide(tmp_path, studio(96), MEANS, "zh_CN", "作者", "2026-11-23")
    assert (tmp_path / PAGE).read_text(encoding="utf-8").startswith("# 超大模型\n")
