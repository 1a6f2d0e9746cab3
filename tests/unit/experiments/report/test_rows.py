from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.experiments.report.report_sample import FIGURES, failed, measured, run, runs

from ultralab.experiments.report.rows import comparison_rows, doubt, finished, reference_of, settled
from ultralab.experiments.report.scores import Positions, margin, read_scores, resolution
from ultralab.experiments.types import Spread


def test_rows_go_from_most_to_fewest_bits_and_failures_last() -> None:
    rows = comparison_rows((failed("Q8_0"), *(run(name) for name in ("Q4_1", "MXFP4", "Q5_1"))))
    assert [(row.label, row.measured is not None) for row in rows] == [
        ("Q5_1", True),
        ("Q4_1", True),
        ("MXFP4", True),
        ("Q8_0", False),
    ]


def test_changes_are_relative_to_the_reference() -> None:
    rows = {row.label: row for row in comparison_rows(runs())}
    half = rows["Q4_0"]
    assert half.memory_change == pytest.approx(212.6 / 219.0 - 1, abs=1e-6)
    assert half.decode_change == pytest.approx(118.3 / 110.0 - 1)
    assert half.prefill_change == pytest.approx(398.0 / 341.0 - 1)
    assert half.nll_change == pytest.approx(3.8203 - 3.7504)
    assert half.perplexity == pytest.approx(math.exp(3.8203))
    assert half.perplexity_change == pytest.approx(math.exp(3.8203 - 3.7504) - 1)
    assert half.timing_gap == pytest.approx(118.3 / (118.3 * 1.01) - 1)
    assert half.memory_error == pytest.approx(207.8 / 212.6 - 1, abs=1e-6)
    assert (half.decode_inside, half.agreement) == (True, 0.861)
    reference = rows["Q4_1"]
    assert (reference.memory_change, reference.decode_change, reference.nll_change) == (None, None, None)


def test_the_best_of_each_column_and_nobody_wins_in_quality_by_chance() -> None:
    best = {row.label: row.best for row in comparison_rows(runs())}
    assert best == {
        "Q8_0": {"nll", "agreement"},
        "Q5_1": {"nll"},
        "Q4_1": {"nll"},
        "Q4_0": {"decode", "prefill", "ttft"},
        "MXFP4": {"file", "memory"},
    }


def test_speeds_whose_ranges_meet_share_the_first_place() -> None:
    wide = replace(run("Q8_0"), measured=replace(measured("Q8_0"), decode_tok_s=Spread((60.0, 85.0, 117.0))))
    best = {row.label: "decode" in row.best for row in comparison_rows((run("Q4_1"), wide, run("Q4_0")))}
    assert best == {"Q8_0": True, "Q4_1": False, "Q4_0": True}


def test_one_run_is_not_called_the_best() -> None:
    (row,) = comparison_rows((run("Q4_1"),))
    assert row.best == frozenset()


def test_without_a_finished_reference_nothing_is_compared() -> None:
    rows = comparison_rows((failed("Q4_1"), run("Q8_0"), run("Q4_0")))
    assert reference_of(rows) is None
    assert [(row.memory_change, row.nll_change, row.agreement) for row, _measured in finished(rows)] == [
        (None, None, None),
        (None, None, None),
    ]


def test_a_run_that_did_not_finish_has_no_figures_even_if_some_were_recorded() -> None:
    (row,) = comparison_rows((replace(run("Q4_1"), status="interrupted"),))
    assert row.measured is None


def test_two_runs_of_one_variant_get_different_labels() -> None:
    again = replace(run("Q8_0"), id="20261123_050000_zzzz")
    assert [row.label for row in comparison_rows((run("Q8_0"), again))] == ["Q8_0 (k3f1)", "Q8_0 (zzzz)"]


def test_a_variant_with_a_name_of_its_own_keeps_it() -> None:
    assert [row.label for row in comparison_rows((replace(run("Q8_0"), variant="long-context"),))] == ["long-context"]


@pytest.mark.parametrize("nll", [math.nan, math.inf, 1e6])
def test_figures_that_are_no_numbers_are_left_out(nll: float) -> None:
    broken = replace(run("Q8_0"), measured=replace(measured("Q8_0"), nll=nll))
    row = comparison_rows((run("Q4_1"), broken))[0]
    assert (row.label, row.perplexity, row.perplexity_change) == ("Q8_0", None, None)
    assert "nll" not in row.best


def test_a_speed_of_zero_divides_nothing() -> None:
    still = replace(run("Q4_1"), measured=replace(measured("Q4_1"), decode_tok_s=Spread((0.0,)), memory_bytes=0))
    rows = comparison_rows((still, run("Q8_0")))
    assert [(row.decode_change, row.memory_change) for row in rows] == [(None, None), (None, None)]


def test_the_margin_is_the_paired_95_percent_interval() -> None:
    scores = {
        "a": Positions((1, 2, 3, 4), (-1.0, -2.0, -3.0, -4.0)),
        "b": Positions((1, 2, 3, 4), (-1.1, -2.3, -3.1, -4.3)),
        "other": Positions((9, 2, 3, 4), (-1.0, -2.0, -3.0, -4.0)),
    }
    deviation = math.sqrt(4 * 0.1**2 / 3)  # differences 0.1, 0.3, 0.1, 0.3 around 0.2
    assert margin(scores, "b", "a") == pytest.approx(1.96 * deviation / 2)
    assert margin(scores, "other", "a") is None
    assert margin(scores, "missing", "a") is None


def test_scores_are_read_from_a_capsule_and_damage_only_costs_the_margin(tmp_path: Path) -> None:
    good, broken, missing = run("Q4_1"), run("Q8_0"), run("Q4_0")
    for record, text in ((good, "[5, -1.5, 5]\n[7, -0.25, 8]\n"), (broken, '[5, -1.5, 5]\n{"half')):
        folder = tmp_path / "runs" / record.id
        folder.mkdir(parents=True)
        (folder / "scores.jsonl").write_text(text)
    assert read_scores(tmp_path, (good, broken, missing)) == {good.id: Positions((5, 7), (-1.5, -0.25))}


def test_a_difference_is_settled_when_it_exceeds_its_margin_or_the_rule_of_thumb() -> None:
    assert resolution(400) == 0.05
    scores = {
        run(name).id: Positions(
            tuple(range(512)), tuple(-FIGURES[name][7] + (0.01 if n % 2 else -0.01) * width for n in range(512))
        )
        for name, width in (("Q4_1", 1), ("Q4_0", 3))
    }
    rows = {row.label: row for row in comparison_rows(runs(), scores)}
    exact, rough = rows["Q4_0"], rows["MXFP4"]
    assert exact.nll_margin == pytest.approx(1.96 * 0.02 / math.sqrt(512), rel=1e-2)
    assert exact.measured is not None
    assert rough.measured is not None
    assert (settled(exact, exact.measured), doubt(rough, rough.measured)) == (True, resolution(512))


def test_scores_round_trip_through_json_lines(tmp_path: Path) -> None:
    record = run("Q4_1")
    folder = tmp_path / "runs" / record.id
    folder.mkdir(parents=True)
    lines = [[token, -0.1 * token, token + 1] for token in range(1, 30)]
    (folder / "scores.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    expected = Positions(tuple(range(1, 30)), tuple(-0.1 * token for token in range(1, 30)))
    assert read_scores(tmp_path, (record,)) == {record.id: expected}
