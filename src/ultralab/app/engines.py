"""The lab's engines: as its settings want them, the one that loads a model, and a model loaded for a while."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ultralab.app.engine_options import Wanted, load_options, settled
from ultralab.app.lab import Lab
from ultralab.engines import choice, engine, engine_plugins
from ultralab.engines.types import NO_SHAPE, ModelFile
from ultralab.kernel.errors import NotFound, RequestError, UltralabError, UnknownChoice, Unsupported
from ultralab.kernel.ids import new_id
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.settings import is_lab
from ultralab.system import clock

if TYPE_CHECKING:
    from ultralab.engines.base import Engine
    from ultralab.engines.host import Loaded
    from ultralab.engines.options import LoadOptions

_OTHERS: Final = 9
_ORDER: Final = {"llamacpp": 0, "mlx": 1, "torch": 2, "ollama": 3, "external": 4, "fake": 10}
"""In which order people see them, and in which they are tried; those of other packages stand before the fake."""

_BESIDE: Final = frozenset({"fake", "external"})
"""Never chosen by themselves: one knows no models, the other's are not here."""


def configured(lab: Lab, name: str) -> Engine:
    """An engine as this lab's settings want it; ``external:studio`` names an address of the settings. Raises UnknownChoice."""
    base, _colon, which = name.partition(":")
    return engine(base).configured(lab.settings.engines, which, lambda secret: _secret(lab, secret))


def every(lab: Lab) -> tuple[Engine, ...]:
    """Every registered engine that can be imported, one for each external address."""
    found: list[Engine] = []
    for plugin in sorted(engine_plugins(), key=lambda one: _ORDER.get(one.name, _OTHERS)):
        names = [plugin.name]
        if plugin.name == "external":
            addresses = [text.partition("=")[0] for text in lab.settings.engines.external]
            names = [f"external:{address}" for address in addresses] or names
        for name in names:
            try:
                found.append(configured(lab, name))
            except UltralabError:  # doctor says why; it must not keep the others away
                continue
    return tuple(found)


def model_file(lab: Lab, ref: str) -> ModelFile:
    """A model of the library, or a file or folder. Raises NotFound, and what reading headers raises."""
    from ultralab import models
    from ultralab.app.model_access import limits
    from ultralab.app.models import header_of
    from ultralab.models import bundles
    from ultralab.models.inspect import choose_format

    path = Path(ref).expanduser()
    if ref.strip() and path.exists():
        bundle = bundles.from_path(path, limits(lab))
        header = choose_format(bundle, lab.formats).read_header(bundle)
        return ModelFile(path.absolute(), path.stem or ref, header.format, header.shape)
    if not is_lab(lab.home):
        raise NotFound(
            _("{ref!r} is no file, and there is no lab in {home}.").format(ref=ref, home=lab.home),
            hint=_("Make one: ultralab init {home} — or name another with --home.").format(home=lab.home),
            ref=ref,
        )
    record = models.find(lab.library, ref)
    entry, header = header_of(lab, record)
    return ModelFile(entry, record.ref, record.format, header.shape)


def choose(lab: Lab, model: ModelFile, options: LoadOptions, wanted: str = "") -> Engine:
    """The engine for a model: the wanted one, else the setting's, else the first that can.

    Raises UnknownChoice, Unsupported (with the engines that can).
    """
    if wanted:
        found = configured(lab, wanted)
        choice.require(found, model, options, every(lab))
        return found
    usual = configured(lab, lab.settings.engines.default)
    if usual.availability().ready and choice.refusal(usual, model, options) is None:
        return usual
    others = [one for one in every(lab) if one.name.partition(":")[0] not in _BESIDE]
    if able := choice.able(others, model, options):
        return able[0]
    loads = [one for one in (usual, *others) if model.format in one.formats]
    for one in loads:
        choice.require(one, model, options)
    raise Unsupported(
        _("No engine here loads the format {format}.").format(format=model.format),
        hint=_("Convert the model: ultralab models convert, or take it in GGUF or SafeTensors."),
        format=model.format,
    )


@contextmanager
def serving(
    lab: Lab, ref: str, wanted: Wanted, progress: Progress, *, engine_name: str = ""
) -> Iterator[tuple[Engine, ModelFile, Loaded]]:
    """A model, loaded for the length of a block. Raises what finding, choosing and loading raise.

    ``engine_name`` ``external:…``: ``ref`` is what that server calls the model.
    """
    from ultralab.engines.host import Request, loaded

    options = load_options(lab, wanted)
    model = _there(ref) if engine_name.partition(":")[0] == "external" else _found(lab, ref, engine_name)
    chosen = choose(lab, model, options, engine_name)
    options = settled(lab, wanted, options, chosen)
    choice.require(chosen, model, options)
    with (
        _log(lab) as log,
        loaded(chosen, Request(model, options), ledger=lab.ledger, log=log, progress=progress) as running,
    ):
        yield chosen, model, running


def _there(ref: str, format_name: str = "") -> ModelFile:
    """A model that lies with another server, under its name there."""
    return ModelFile(Path(), ref, format_name, NO_SHAPE)


def _found(lab: Lab, ref: str, engine_name: str) -> ModelFile:
    """A model of ours; for Ollama also one of its own, where we have none of that name."""
    try:
        return model_file(lab, ref)
    except NotFound:
        if engine_name != "ollama":
            raise
    return _there(ref, "gguf")


def _beside(lab: Lab, chosen: Engine, model: ModelFile, options: LoadOptions) -> int:
    """Bytes that a draft model, a projector and adapters take beside the model, by the planner. Raises what their headers raise."""
    from ultralab.app.model_access import limits
    from ultralab.models.formats.gguf_projector import read_projector
    from ultralab.models.formats.gguf_reader import read_gguf
    from ultralab.planner.attached import with_draft, with_projector

    if model.shape is NO_SHAPE or not (options.draft or options.projector or options.adapters):
        return 0
    own = whole = chosen.plan(model.shape, options)
    if options.draft:
        draft = model_file(lab, str(options.draft))
        plain = replace(options, key_type="f16", value_type="f16")  # as engines keep a draft's cache
        whole = with_draft(whole, chosen.plan(draft.shape, plain))
    if options.projector:
        read = read_projector(read_gguf(options.projector, limits(lab), weights=False))
        whole = with_projector(whole, read, flash=options.flash)
    adapters = sum(file.stat().st_size for one in options.adapters for file in _files(one.path))
    return whole.total - own.total + adapters


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def able(lab: Lab, model: ModelFile, options: LoadOptions, names: Sequence[str] = ()) -> tuple[Engine, ...]:
    """The engines that are ready and can load a model; with ``names``, those or an error. The fake only by name."""
    if names:
        chosen = [configured(lab, name) for name in names]
        for one in chosen:
            choice.require(one, model, options, every(lab))
        return tuple(chosen)
    candidates = [one for one in every(lab) if one.name.partition(":")[0] not in _BESIDE]
    return choice.able(candidates, model, options)


def _secret(lab: Lab, name: str) -> str:
    from ultralab.secrets import read

    return read(lab.secrets, name)


@contextmanager
def _log(lab: Lab) -> Iterator[Path]:
    """Where an engine's log goes: the lab's ``state/engines``, kept where something failed; without a lab, a folder that goes."""
    if not is_lab(lab.home):
        with tempfile.TemporaryDirectory(prefix="ultralab-") as folder:
            yield Path(folder) / "engine.log"
        return
    log = lab.home / "state" / "engines" / f"{new_id(clock.now())}.log"
    yield log
    log.unlink(missing_ok=True)


def require_known(lab: Lab, names: Sequence[str]) -> None:
    """Raise UnknownChoice for a name that is no engine."""
    known = {plugin.name for plugin in engine_plugins()}
    for name in names:
        if name.partition(":")[0] not in known:
            raise UnknownChoice.among(_("engine"), name, known)
        configured(lab, name)


def require_text(text: str) -> str:
    """What a model is to go on with. Raises RequestError: nothing."""
    if not text.strip():
        raise RequestError(_("The prompt is empty."), hint=_("Give it with -p TEXT, a file with --file, or by a pipe."))
    return text
