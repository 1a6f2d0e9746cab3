"""What an engine says of itself before anything is loaded: its name, its options, what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from tests.contracts.suite.case import EngineCase, Shared

from ultralab.engines import choice
from ultralab.engines.base import LoadOptions
from ultralab.engines.host import Loaded
from ultralab.engines.options import CACHE_TYPES, DEFAULTS, OPTIONS, Adapter, PromptCache
from ultralab.kernel.errors import Unsupported
from ultralab.memory import holders, open_ledger

NO_SENSE: tuple[Mapping[str, object], ...] = (
    {"context": 0},
    {"parallel": 0},
    {"batch": 0},
    {"threads": -1},
    {"seed": -1},
    {"batch": 64, "ubatch": 128},
    {"key_type": "f17"},
    {"value_type": ""},
    {"weight_bits": 3},
    {"draft": Path("no/such/model")},
    {"projector": Path("no/such/projector")},
    {"adapters": (Adapter(Path("no/such/adapter")),)},
)


def changed(name: str, folder: Path) -> LoadOptions:
    """Options of which one alone is not at its default."""
    (folder / "file").write_bytes(b"")
    values: dict[str, object] = {
        "context": DEFAULTS.context + 1,
        "threads": DEFAULTS.threads + 1,
        "seed": DEFAULTS.seed + 1,
        "parallel": DEFAULTS.parallel + 1,
        "key_type": "q8_0",
        "value_type": "q8_0",
        "flash": not DEFAULTS.flash,
        "batch": DEFAULTS.batch + 1,
        "ubatch": DEFAULTS.ubatch + 1,
        "draft": folder / "file",
        "adapters": (Adapter(folder / "file"),),
        "prompt_cache": PromptCache(folder, 1_000_000),
        "chat_template": "{{ messages[0]['content'] }}",
        "projector": folder / "file",
        "embeddings": not DEFAULTS.embeddings,
        "weight_bits": 8,
    }
    return replace(DEFAULTS, **{name: values[name]})  # type: ignore[arg-type]


class NamingSuite(Shared):
    """Names, options and refusals."""

    def test_it_is_available_and_names_itself(self, case: EngineCase, running: Loaded) -> None:
        state = case.engine.availability()
        assert (state.ready, state.reason, state.hint) == (True, "", "")
        assert running.engine == case.engine.name
        assert running.version
        assert running.load_seconds > 0
        assert {"chat", "completion"} <= case.engine.capabilities

    def test_its_name_fits_on_a_command_line(self, case: EngineCase) -> None:
        assert case.engine.name == case.engine.name.lower().strip() != ""
        name, _colon, which = case.engine.name.partition(":")  # "external:studio"
        assert not set(name + which) & set(" /:,@")
        assert case.engine.title.strip() == case.engine.title != ""

    def test_each_option_that_it_takes_is_known_and_explained(self, case: EngineCase) -> None:
        assert set(case.engine.options) <= set(OPTIONS)
        assert [name for name, takes in case.engine.options.items() if not takes.note.strip()] == []
        for name in ("key_type", "value_type"):
            if name in case.engine.options:
                assert set(case.engine.options[name].among) <= set(CACHE_TYPES)

    @pytest.mark.parametrize("name", sorted(OPTIONS))
    def test_an_option_is_taken_or_refused_by_name(self, case: EngineCase, name: str, tmp_path: Path) -> None:
        refused = choice.refusal(case.engine, case.model, changed(name, tmp_path))
        if name in case.engine.options:
            assert refused is None or "does not take the option" not in refused.reason
        else:
            assert refused is not None
            assert name in refused.reason
            assert all(one in refused.hint for one in case.engine.options)

    def test_a_value_outside_its_list_is_refused(self, case: EngineCase) -> None:
        for name, takes in case.engine.options.items():
            for value in CACHE_TYPES if takes.among and name in ("key_type", "value_type") else ():
                refused = choice.refusal(case.engine, case.model, replace(DEFAULTS, **{name: value}))  # type: ignore[arg-type]
                if value not in takes.among and value != getattr(DEFAULTS, name):
                    assert refused is not None
                    assert name in refused.reason

    @pytest.mark.parametrize("values", NO_SENSE, ids=",".join)
    def test_what_makes_no_sense_is_refused_before_a_start(
        self, case: EngineCase, values: Mapping[str, object], tmp_path: Path
    ) -> None:
        nonsense = replace(case, options=replace(case.options, **values))  # type: ignore[arg-type]
        ledger = open_ledger(tmp_path, 10**15)
        with pytest.raises(Unsupported) as caught, nonsense.load(ledger, tmp_path / "engine.log"):
            pass
        assert caught.value.message.startswith(f"{case.title}: ")
        assert caught.value.data["engine"] == case.engine.name
        assert not (tmp_path / "engine.log").exists()
        assert holders(ledger) == ()

    def test_a_format_that_it_does_not_know_is_refused_with_who_can(self, case: EngineCase) -> None:
        strange = replace(case.model, format="no-such-format")
        if not case.engine.formats:  # a server that is not ours: the format is its affair
            assert choice.refusal(case.engine, strange, case.options) is None
            return
        with pytest.raises(Unsupported, match="no-such-format") as caught:
            choice.require(case.engine, strange, case.options, [case.engine])
        assert caught.value.data["able"] == []
        assert choice.able([case.engine], case.model, case.options) == (case.engine,)

    def test_its_model_is_not_refused(self, case: EngineCase) -> None:
        assert choice.refusal(case.engine, case.model, case.options) is None
        assert case.engine.refusal(case.model, case.options) is None

    def test_planning_is_pure(self, case: EngineCase) -> None:
        plan = case.engine.plan(case.shape, case.options)
        assert plan == case.engine.plan(case.shape, case.options)
        assert plan.total >= 0
