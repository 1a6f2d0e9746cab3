"""A real generation on a tiny model with each engine that is installed, held against plain arithmetic."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ultralab.app.engines import engine_log, every, model_file, named, require_known
from ultralab.app.lab import Lab
from ultralab.engines.types import NO_SHAPE, ModelFile
from ultralab.kernel.errors import EngineFailed, UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.kernel.text import printable
from ultralab.kernel.units import format_bytes

if TYPE_CHECKING:
    from ultralab.engines.base import Engine
    from ultralab.engines.host import Loaded

_CONTEXT = 512
_SHOWN = 5  # names of models


def try_engines(lab: Lab, names: Sequence[str], progress: Progress) -> list[dict[str, Any]]:
    """Each engine's result: ``passed``, ``failed``, or ``missing`` with how to get it. Raises UnknownChoice (a name)."""
    require_known(lab, names)
    engines = [one for name in names for one in named(lab, name)] if names else every(lab)
    with tempfile.TemporaryDirectory(prefix="ultralab-check-") as folder:
        return [_tried(lab, one, Path(folder), progress) for one in engines]


def _tried(lab: Lab, engine: Engine, folder: Path, progress: Progress) -> dict[str, Any]:
    state = engine.availability()
    if not state.ready:
        return _result(engine, "missing", state.reason, state.hint)
    try:
        with progress.step(_("Trying {engine}").format(engine=engine.name)):
            if engine.name.partition(":")[0] in ("ollama", "external"):
                return _asked(engine, state.version)
            return _loaded(lab, engine, folder)
    except UltralabError as error:
        return _result(engine, "failed", error.message, error.hint, version=state.version)


def _loaded(lab: Lab, engine: Engine, folder: Path) -> dict[str, Any]:
    from ultralab.engines.host import Request, loaded
    from ultralab.engines.options import LoadOptions

    model = _model(lab, engine, folder)
    if model is None:
        said = _("{name}: there is no model to try it with.").format(name=engine.name)
        return _result(engine, "missing", said)
    options = LoadOptions(context=_CONTEXT, threads=1)
    with engine_log(lab) as log, loaded(engine, Request(model, options), ledger=lab.ledger, log=log) as running:
        return _spoken(engine, running)


def _spoken(engine: Engine, running: Loaded) -> dict[str, Any]:
    from ultralab.engines.tiny import PROMPTS, TOKENS, encode, greedy

    speed = 0.0
    for text in PROMPTS:
        wanted = greedy(encode(text), TOKENS).tokens
        prompt = running.client.tokenize(text)
        one = running.client.generate(prompt, TOKENS, seed=1)
        speed = one.timings.decode_tok_s
        if engine.name == "fake":  # it has no model: that it answers is all
            continue
        if prompt != tuple(encode(text)):
            said = _("The prompt {text!r} became {count} other tokens than the model's tokenizer gives.").format(
                text=text, count=len(prompt)
            )
            return _result(engine, "failed", said, _advice(), version=running.version)
        if one.tokens != wanted:
            same = next((n for n, (a, b) in enumerate(zip(one.tokens, wanted, strict=False)) if a != b), len(wanted))
            said = _(
                "After {text!r} it said other tokens than plain arithmetic gives, from number {number} on."
            ).format(text=text, number=same + 1)
            return _result(engine, "failed", said, _advice(), version=running.version)
    said = _("{version}: {count} tokens as computed, {speed:.0f} tok/s, loaded in {seconds:.1f} s, {memory}").format(
        version=running.version,
        count=TOKENS * len(PROMPTS),
        speed=speed,
        seconds=running.load_seconds,
        memory=format_bytes(running.footprint()),
    )
    if engine.name == "fake":
        said = _("{version}: it answers (it has no model)").format(version=running.version)
    return _result(engine, "passed", said, version=running.version)


def _model(lab: Lab, engine: Engine, folder: Path) -> ModelFile | None:
    """The tiny model in a format that the engine loads, written once; None where it loads neither of its two."""
    from ultralab.engines.tiny import write_gguf, write_hf

    if "gguf" in engine.formats:
        path = folder / "tiny.gguf"
        if not path.exists():
            write_gguf(path)
    elif "safetensors" in engine.formats:
        path = folder / "tiny"
        if not path.exists():
            write_hf(path)
    else:
        return None
    return model_file(lab, str(path))


def _asked(engine: Engine, version: str) -> dict[str, Any]:
    """A server that is not ours: does it answer, which models has it. Nothing is loaded there for a check."""
    from ultralab.engines.options import LoadOptions
    from ultralab.engines.types import Launch

    attachment = engine.start(ModelFile(Path(), "", "", NO_SHAPE), LoadOptions(), "")
    assert not isinstance(attachment, Launch)
    try:
        names = attachment.models()
    except EngineFailed as error:
        if error.data.get("status"):  # it answers, and not as it should
            raise
        return _result(engine, "missing", error.message, error.hint)
    if not names:
        return _result(engine, "passed", _("{version}: it answers; it has no model").format(version=version))
    listed = ", ".join(printable(name, 60) for name in names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
    said = _("{version}: it answers; it has: {names}").format(version=version, names=listed)
    return _result(engine, "passed", said, version=version)


def _result(engine: Engine, status: str, detail: str, hint: str = "", version: str = "") -> dict[str, Any]:
    return {
        "engine": engine.name,
        "status": status,
        "version": version or None,
        "detail": detail,
        "hint": hint or None,
    }


def _advice() -> str:
    return _("Do not trust this version's answers: install another one, and report this with its version.")
