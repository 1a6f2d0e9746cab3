"""Which engine may load a model: refused before anything is started, with the engines that can."""

from __future__ import annotations

from collections.abc import Iterable

from ultralab.engines.base import Engine
from ultralab.engines.options import LoadOptions, not_taken, wrong
from ultralab.engines.types import ModelFile, Refusal
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _


def refusal(engine: Engine, model: ModelFile, options: LoadOptions) -> Refusal | None:
    """Why an engine cannot load a model with these options; None: it can, as far as its header tells."""
    if problem := wrong(options):
        return problem
    if engine.formats and model.format not in engine.formats:
        unpacks = model.format == "gguf" and "safetensors" in engine.formats
        return Refusal(
            _("The engine {engine} cannot load the format {format}.").format(engine=engine.name, format=model.format),
            _("Many GGUF models can be unpacked for it: ultralab models convert --to safetensors.") if unpacks else "",
        )
    return not_taken(engine.name, engine.options, options) or engine.refusal(model, options)


def able(engines: Iterable[Engine], model: ModelFile, options: LoadOptions) -> tuple[Engine, ...]:
    """The engines that are ready here and can load a model so, in the given order."""
    return tuple(one for one in engines if one.availability().ready and refusal(one, model, options) is None)


def require_ready(engine: Engine) -> None:
    """Raise Unsupported unless the engine can run on this machine."""
    state = engine.availability()
    if not state.ready:
        raise Unsupported(
            _("The engine {name} cannot run here: {reason}").format(name=engine.name, reason=state.reason),
            hint=state.hint,
            engine=engine.name,
        )


def require(engine: Engine, model: ModelFile, options: LoadOptions, others: Iterable[Engine] = ()) -> None:
    """Raise Unsupported unless the engine is ready and can load a model so; its hint names those of ``others`` that can."""
    require_ready(engine)
    problem = refusal(engine, model, options)
    if problem is None:
        return
    # An engine of no format of its own has what lies with another server: nobody knows whether this model does.
    candidates = (one for one in others if one.name != engine.name and one.formats)
    names = [one.name for one in able(candidates, model, options)]
    hints = [problem.hint] if problem.hint else []
    if names:
        hints.append(_("Engines that can: {names}.").format(names=_(", ").join(names)))
    raise Unsupported(
        _("{title}: {reason}").format(title=model.title, reason=problem.reason),
        hint=" ".join(hints) or _("What each engine loads and takes: ultralab engines list --options."),
        engine=engine.name,
        able=names,
    )
