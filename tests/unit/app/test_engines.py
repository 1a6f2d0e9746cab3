"""Which engine and which model is meant: names of the settings, models that lie elsewhere, what doctor is told."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ultralab.app.engine_advice import advise
from ultralab.app.engine_compare import Asked, compare
from ultralab.app.engine_lists import list_engines
from ultralab.app.engine_options import Wanted
from ultralab.app.engine_trials import try_engines
from ultralab.app.engines import choose, configured, every, found, named, require_text
from ultralab.app.lab import Lab
from ultralab.assess.advice.types import Wish
from ultralab.engines.checks import doctor_checks
from ultralab.engines.options import LoadOptions
from ultralab.engines.tiny import write_gguf
from ultralab.kernel.errors import NotFound, RequestError, UltralabError, UnknownChoice
from ultralab.kernel.progress import SILENT
from ultralab.settings import Settings
from ultralab.settings.schema import EngineSettings

TWO = ("rack=http://127.0.0.1:9/v1", "studio=http://127.0.0.1:9")


def lab(tmp_path: Path, **engines: object) -> Lab:
    """Settings without a lab."""
    return Lab(tmp_path / "no lab", Settings(engines=EngineSettings(ollama="http://127.0.0.1:9", **engines)))  # type: ignore[arg-type]


def test_every_address_is_an_engine_of_its_own(tmp_path: Path) -> None:
    here = lab(tmp_path, external=TWO)
    assert [one.name for one in every(here)] == [
        "llamacpp", "mlx", "torch", "ollama", "external:rack", "external:studio", "fake",
    ]  # fmt: skip
    assert [one.name for one in named(here, "external")] == ["external:rack", "external:studio"]
    assert [one.name for one in named(here, "external:rack")] == ["external:rack"]
    assert [one.name for one in named(lab(tmp_path), "external")] == ["external"]
    with pytest.raises(UnknownChoice, match="Several external addresses"):
        configured(here, "external")


def test_servers_that_do_not_run_are_missing_not_failed(tmp_path: Path) -> None:
    results = try_engines(lab(tmp_path, external=TWO), ("external", "ollama"), SILENT)
    assert [(one["engine"], one["status"]) for one in results] == [
        ("external:rack", "missing"), ("external:studio", "missing"), ("ollama", "missing"),
    ]  # fmt: skip
    assert all(one["hint"] for one in results)


@pytest.mark.parametrize(
    ("usual", "marked"), [("external:rack", ["external:rack"]), ("mlx", ["mlx"]), ("external", [])]
)
def test_the_list_marks_the_setting_s_engine(tmp_path: Path, usual: str, marked: list[str]) -> None:
    listed = list_engines(lab(tmp_path, external=TWO, default=usual))
    assert [one["engine"] for one in listed if one["default"]] == marked


def test_a_model_that_is_not_here_is_with_the_setting_s_server(tmp_path: Path) -> None:
    here = lab(tmp_path, external=TWO, default="external:rack")
    file = write_gguf(tmp_path / "m.gguf")
    assert choose(here, found(here, "qwen3"), LoadOptions()).name == "external:rack"
    assert choose(here, found(here, str(file)), LoadOptions()).name == "llamacpp"
    assert found(here, str(file), "external:studio").path == Path()
    with pytest.raises(NotFound):
        found(lab(tmp_path), "qwen3")


def test_doctor_sees_engines_as_the_settings_want_them(tmp_path: Path) -> None:
    here = lab(tmp_path, external=TWO, default="external:rack")
    checks = {one.name: one.run() for one in doctor_checks("external:rack", partial(named, here))}
    assert checks["engines.external"].verdict == "pass"
    assert "external:studio: http://127.0.0.1:9" in checks["engines.external"].detail
    none = {one.name: one.run() for one in doctor_checks("external", partial(named, lab(tmp_path)))}
    assert none["engines.external"].verdict == "warn"
    assert none["engines.external"].hint
    unknown = lab(tmp_path, external=TWO, default="external:gone")
    with pytest.raises(UnknownChoice):
        choose(unknown, found(unknown, str(write_gguf(tmp_path / "m.gguf"))), LoadOptions())


@pytest.mark.parametrize("text", ["", " \n", "caf\udce9"])
def test_what_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(RequestError) as caught:
        require_text(text)
    assert caught.value.hint


def test_advice_names_what_can_be_typed(tmp_path: Path) -> None:
    here, file = lab(tmp_path), write_gguf(tmp_path / "my model.gguf")
    said = advise(here, str(file), Wish(context=1024), "this")
    assert said["command"] == f"ultralab chat '{file}' --engine llamacpp --context 1024"
    assert advise(here, str(file), Wish(context=1024), "m3-ultra-512")["command"] is None
    known = advise(here, "deepseek-r1", Wish(), "m3-ultra-512")
    assert known["command"].startswith("ultralab models pull hf:")
    assert advise(here, "", Wish(), "m3-ultra-512")["command"] is None


def test_an_engine_that_fails_is_a_row_beside_the_others(tmp_path: Path) -> None:
    here, file = lab(tmp_path, external=TWO), str(write_gguf(tmp_path / "m.gguf"))
    asked = Asked((file, "qwen3"), "hello", 4, engines=("fake", "external:rack"))
    done = compare(here, asked, Wanted(), SILENT)
    assert [(one["engine"], one["weights"]) for one in done["runs"]] == [("fake", "F16")]
    assert [(one["engine"], one["model"]) for one in done["failed"]] == [("external:rack", "qwen3")]
    with pytest.raises(UltralabError):  # none of the engines that were asked for loads it, and no other is taken
        compare(here, Asked((file, "qwen3"), "hello", engines=("mlx", "external:rack")), Wanted(), SILENT)
