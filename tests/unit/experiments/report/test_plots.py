from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from tests.unit.experiments.report.report_sample import failed, measured, run, runs

from ultralab.experiments.report.plots import draw_plots
from ultralab.experiments.report.rows import comparison_rows
from ultralab.experiments.types import RunRecord

SVG = "{http://www.w3.org/2000/svg}"


def plain(message: str) -> str:
    return message


def words_in(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text")]


def test_three_plots_with_their_words() -> None:
    plots = draw_plots(comparison_rows(runs()), plain)
    assert [(plot.name, len(plot.inline)) for plot in plots] == [("quality", 2), ("speed", 2), ("prediction", 2)]
    for plot in plots:
        words = words_in(plot.file)
        assert {"Q4_1", "Q8_0", "Q5_1", "Q4_0", "MXFP4"} <= set(words)
        assert not any("@" in word for word in words)


def test_files_are_the_same_each_time_and_carry_no_date() -> None:
    rows = comparison_rows(runs())
    first, second = draw_plots(rows, plain), draw_plots(rows, plain)
    assert first == second
    assert not any("metadata" in plot.file or "2026" in plot.file for plot in first)


def test_a_file_has_plain_colours_and_a_panel_the_pages_own() -> None:
    plot = draw_plots(comparison_rows(runs()), plain)[0]
    assert ("var(" in plot.file, "#0102" in plot.file) == (False, False)
    panel = plot.inline[0]
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", re.sub(r'(href="|url\()#[\w-]+', "", panel))) == set()
    assert "var(--main)" in panel
    assert "://" not in panel


def test_ids_are_unique_over_all_panels_and_every_reference_has_its_target() -> None:
    panels = "".join(panel for plot in draw_plots(comparison_rows(runs()), plain) for panel in plot.inline)
    ids = re.findall(r'id="([^"]+)"', panels)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', panels)) <= set(ids)


@pytest.mark.parametrize("name", ["<script>x</script>", "$x$ & \\alpha_{", "量化 方案", "@0@ @1x@"])
def test_any_name_is_drawn_as_it_is(name: str) -> None:
    plots = draw_plots(comparison_rows((run("Q4_1"), replace(run("Q8_0"), variant=name))), plain)
    for plot in plots:
        assert name in words_in(plot.file)
        assert "<script" not in plot.file + "".join(plot.inline)


def test_a_long_name_is_shortened_so_that_the_figures_keep_their_room() -> None:
    long = replace(run("Q8_0"), variant="q8_0-with-a-very-long-context")
    for plot in draw_plots(comparison_rows((run("Q4_1"), long)), plain):
        assert "q8_0-with-a-very-lo…" in words_in(plot.file)


def test_differences_of_nothing_are_not_blown_up_and_shares_end_at_100() -> None:
    near = replace(run("Q8_0"), measured=replace(measured("Q8_0"), nll=3.7505, agreement=0.999))
    quality = draw_plots(comparison_rows((run("Q4_1"), near)), plain)[0]
    numbers = [[float(word) for word in re.findall(r">([\d.]+)</text>", panel)] for panel in quality.inline]
    upright = [[value for value in values if value < 200] for values in numbers]
    assert min(upright[0]) <= 42
    assert max(upright[0]) >= 43
    assert max(upright[1]) == 100


def test_one_run_alone_can_be_drawn() -> None:
    plots = draw_plots(comparison_rows((run("Q4_1"),)), plain)
    assert [(plot.name, len(plot.inline)) for plot in plots] == [("quality", 1), ("speed", 2), ("prediction", 2)]


def unpredicted(record: RunRecord) -> RunRecord:
    return replace(record, expected=None)


def test_what_was_not_predicted_is_not_drawn_against_it() -> None:
    plots = draw_plots(comparison_rows((unpredicted(run("Q4_1")), unpredicted(run("Q8_0")))), plain)
    assert [plot.name for plot in plots] == ["quality", "speed"]


def test_nothing_finished_draws_nothing() -> None:
    assert draw_plots(comparison_rows((failed("Q4_1"),)), plain) == ()


def test_a_quality_that_is_no_number_leaves_its_point_out() -> None:
    broken = replace(run("Q8_0"), measured=replace(measured("Q8_0"), nll=float("nan")))
    quality = draw_plots(comparison_rows((run("Q4_1"), run("Q4_0"), broken)), plain)[0]
    assert ("Q8_0" in quality.inline[0], "Q4_0" in quality.inline[0]) == (False, True)
