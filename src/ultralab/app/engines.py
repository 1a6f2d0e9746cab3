"""The lab's engines: as its settings want them, the one that loads a model, and a model loaded for a while."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
    from ultralab.models.formats.base import ModelHeader

_OTHERS: Final = 9
_KEPT_LOGS: Final = 20  # of 16 MiB at most each
_ORDER: Final = {"llamacpp": 0, "mlx": 1, "torch": 2, "ollama": 3, "external": 4, "fake": 10}
"""In which order people see them, and in which they are tried; those of other packages stand before the fake."""

_BESIDE: Final = frozenset({"fake", "external"})
"""Never chosen by themselves: one knows no models, the other's are not here."""


def configured(lab: Lab, name: str) -> Engine:
    """An engine as this lab's settings want it; ``external:studio`` names an address of the settings. Raises UnknownChoice."""
    base, _colon, which = name.partition(":")
    if which and base in _ORDER and base != "external":  # ours have no others of their kind
        raise UnknownChoice.among(_("engine"), name, _ORDER)
    return engine(base).configured(lab.settings.engines, which, lambda secret: _secret(lab, secret))


def every(lab: Lab) -> tuple[Engine, ...]:
    """Every registered engine that can be imported, one for each external address."""
    found: list[Engine] = []
    for plugin in sorted(engine_plugins(), key=lambda one: _ORDER.get(one.name, _OTHERS)):
        try:
            found.extend(named(lab, plugin.name))
        except UltralabError:  # doctor says why; it must not keep the others away
            continue
    return tuple(found)


def named(lab: Lab, name: str) -> tuple[Engine, ...]:
    """The engine of this name; ``external`` alone: every address of the settings. Raises UnknownChoice."""
    addresses = [text.partition("=")[0] for text in lab.settings.engines.external] if name == "external" else []
    return tuple(configured(lab, one) for one in [f"external:{address}" for address in addresses] or [name])


def _ordinary(lab: Lab) -> list[Engine]:
    """Those that may be chosen, or named as a way out, without being asked for."""
    return [one for one in every(lab) if one.name.partition(":")[0] not in _BESIDE]


def model_file(lab: Lab, ref: str) -> ModelFile:
    """A model of the library, or a file or folder. Raises NotFound, and what reading headers raises."""
    from ultralab import models
    from ultralab.app.models import header_of

    path = Path(ref).expanduser()
    if ref.strip() and path.exists():
        header = file_header(lab, path)
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


def file_header(lab: Lab, path: Path) -> ModelHeader:
    """What the header of a file or folder says. Raises what reading it raises."""
    from ultralab.app.model_access import limits
    from ultralab.models import bundles
    from ultralab.models.inspect import choose_format

    bundle = bundles.from_path(path, limits(lab))
    return choose_format(bundle, lab.formats).read_header(bundle)


def choose(lab: Lab, model: ModelFile, options: LoadOptions, wanted: str = "") -> Engine:
    """The engine for a model: the wanted one, else the setting's, else the first that can.

    A model that lies here goes to an external server only where that is asked for; one that lies elsewhere stays there.

    Raises UnknownChoice, Unsupported (with the engines that can).
    """
    if wanted:
        found = configured(lab, wanted)
        choice.require(found, model, options, _ordinary(lab))
        return found
    usual = configured(lab, lab.settings.engines.default)
    if model.shape is NO_SHAPE:
        choice.require(usual, model, options)
        return usual
    here = usual.name.partition(":")[0] != "external"
    if here and usual.availability().ready and choice.refusal(usual, model, options) is None:
        return usual
    others = _ordinary(lab)
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

    ``engine_name`` ``external:…``: ``ref`` is what that server calls the model. Where the setting names an external server
    or Ollama, a model that is not here is looked for there.
    """
    from ultralab.engines.host import Request, loaded

    options = load_options(lab, wanted)
    model = found(lab, ref, engine_name)
    chosen = choose(lab, model, options, engine_name)
    options = settled(lab, wanted, options, chosen)
    request = Request(model, options, _beside(lab, chosen, model, options))
    with (
        engine_log(lab) as log,
        loaded(chosen, request, ledger=lab.ledger, log=log, progress=progress) as running,
    ):
        yield chosen, model, running


def _there(ref: str, format_name: str = "") -> ModelFile:
    """A model that lies with another server, under its name there."""
    return ModelFile(Path(), ref, format_name, NO_SHAPE)


def found(lab: Lab, ref: str, engine_name: str = "") -> ModelFile:
    """A model of ours; where we have none of that name, one of Ollama's or of an external server, if that is meant.

    Raises NotFound, and what reading headers raises.
    """
    base = (engine_name or lab.settings.engines.default).partition(":")[0]
    if engine_name and base == "external":
        return _there(ref)
    try:
        return model_file(lab, ref)
    except NotFound:
        if base not in ("ollama", "external"):
            raise
    return _there(ref, "gguf" if base == "ollama" else "")


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
            choice.require(one, model, options, _ordinary(lab))
        return tuple(chosen)
    candidates = _ordinary(lab)
    return choice.able(candidates, model, options)


def _secret(lab: Lab, name: str) -> str:
    from ultralab.secrets import read

    return read(lab.secrets, name)


@contextmanager
def engine_log(lab: Lab) -> Iterator[Path]:
    """Where an engine's log goes: the lab's ``state/engines``; without a lab, or where that cannot be written, a folder for
    temporary files. It is kept where an error names it; of a lab's the newest ones.
    """
    if ours := is_lab(lab.home) and os.access(lab.home, os.W_OK):
        log = lab.home / "state" / "engines" / f"{new_id(clock.now())}.log"
        for old in sorted(log.parent.glob("*.log"))[: -_KEPT_LOGS + 1]:
            with suppress(OSError):
                old.unlink()
    else:
        log = Path(tempfile.mkdtemp(prefix="ultralab-")) / "engine.log"
    told = False
    try:
        yield log
    except UltralabError as error:
        told = "log" in error.data and log.exists()
        raise
    finally:
        if not told:
            with suppress(OSError):
                log.unlink(missing_ok=True)
                if not ours:
                    log.parent.rmdir()


def require_known(lab: Lab, names: Sequence[str]) -> None:
    """Raise UnknownChoice for a name that is no engine."""
    known = {plugin.name for plugin in engine_plugins()}
    for name in names:
        if name.partition(":")[0] not in known:
            raise UnknownChoice.among(_("engine"), name, known)
        named(lab, name)


def require_text(text: str) -> str:
    """What a model is to go on with. Raises RequestError: nothing, or bytes that are no text."""
    if not text.strip():
        raise RequestError(_("The prompt is empty."), hint=_("Give it with -p TEXT, a file with --file, or by a pipe."))
    if any("\ud800" <= one <= "\udfff" for one in text):  # bytes that could not be decoded
        raise RequestError(
            _("The prompt is no text: it holds bytes that are not UTF-8."),
            hint=_("Give text; another encoding can be changed: iconv -f GB18030 -t UTF-8 FILE"),
        )
    return text
