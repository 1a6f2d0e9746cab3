"""How a model is to be loaded: one typed record for every engine, and what each engine takes of it.

An engine lists the options it takes (:class:`Takes`); one that is set and that it does not take is refused before
anything starts: never silently ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from ultralab.engines.types import Refusal
from ultralab.kernel.language import N_, _

CACHE_TYPES: Final = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
"""How keys and values can be stored, as llama.cpp calls it."""

_INT: Final = 2**31 - 1
_BOUNDS: Final = {
    "context": (1, _INT),
    "parallel": (1, _INT),
    "batch": (1, _INT),
    "ubatch": (1, _INT),
    "threads": (0, 4096),
    "seed": (0, 2**32 - 2),  # to llama.cpp one more means "choose one" (LLAMA_DEFAULT_SEED)
}


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter: its file or folder, and how strongly it works."""

    path: Path
    scale: float = 1.0


@dataclass(frozen=True)
class PromptCache:
    """Prompts that were read once, kept on disk: where, and the most bytes of that folder."""

    folder: Path
    limit: int


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model. ``OPTIONS`` says what each means.

    ``context``: tokens of each sequence. ``threads`` 0: one per performance core. ``weight_bits``: 8 or 4 quantizes the
    weights while they are loaded, 0 takes them as stored. ``embeddings``: serve embeddings instead of text.
    """

    context: int = 2048
    threads: int = 0
    seed: int = 42
    parallel: int = 1
    key_type: str = "f16"
    value_type: str = "f16"
    flash: bool = True
    batch: int = 2048
    ubatch: int = 512
    draft: Path | None = None
    adapters: tuple[Adapter, ...] = ()
    prompt_cache: PromptCache | None = None
    chat_template: str = ""
    projector: Path | None = None
    embeddings: bool = False
    weight_bits: int = 0


DEFAULTS: Final = LoadOptions()


@dataclass(frozen=True)
class Option:
    """One option for people: its meaning and what it takes (message ids)."""

    name: str
    meaning: str
    takes: str


OPTIONS: Final[Mapping[str, Option]] = {
    one.name: one
    for one in (
        Option("context", N_("context of each sequence"), N_("tokens")),
        Option("threads", N_("processor threads, 0 for one per performance core"), N_("a whole number")),
        Option("seed", N_("seed of the sampler where a request gives none"), N_("a whole number")),
        Option("parallel", N_("requests that are served at once"), N_("a whole number")),
        Option("key_type", N_("how the KV cache stores keys"), ", ".join(CACHE_TYPES)),
        Option("value_type", N_("how the KV cache stores values"), ", ".join(CACHE_TYPES)),
        Option("flash", N_("flash attention"), N_("true or false")),
        Option("batch", N_("tokens of a prompt that are handed over at once"), N_("tokens")),
        Option("ubatch", N_("tokens of a prompt that are computed at once"), N_("tokens")),
        Option("draft", N_("small model for speculative decoding"), N_("a model")),
        Option("adapters", N_("LoRA adapters"), N_("files or folders, each with a scale")),
        Option("prompt_cache", N_("prompts kept on disk for the next load"), N_("a folder and a size limit")),
        Option("chat_template", N_("chat template instead of the model's own"), N_("Jinja text")),
        Option("projector", N_("vision projector (mmproj)"), N_("a GGUF file")),
        Option("embeddings", N_("serve embeddings instead of text"), N_("true or false")),
        Option("weight_bits", N_("quantize weights while loading"), N_("8, 4, or 0 for as stored")),
    )
}


@dataclass(frozen=True)
class Takes:
    """That an engine takes an option: how it uses it (a message id), and the only values it takes (empty: any)."""

    note: str
    among: tuple[str | int | bool, ...] = ()


def given(options: LoadOptions) -> tuple[str, ...]:
    """The names of the options that are not at their defaults, in the record's order."""
    return tuple(one.name for one in fields(options) if getattr(options, one.name) != getattr(DEFAULTS, one.name))


def wrong(options: LoadOptions) -> Refusal | None:
    """What no engine could do: the first option whose value makes no sense."""
    for name, (least, most) in _BOUNDS.items():
        if not least <= getattr(options, name) <= most:
            return Refusal(
                _("{option} must be between {least} and {most}.").format(option=name, least=least, most=most),
                _("It is {value}.").format(value=getattr(options, name)),
            )
    if options.ubatch > options.batch:
        return Refusal(
            _("ubatch ({ubatch}) must not be larger than batch ({batch}).").format(
                ubatch=options.ubatch, batch=options.batch
            )
        )
    for name in ("key_type", "value_type"):
        if getattr(options, name) not in CACHE_TYPES:
            return Refusal(
                _("{option} cannot be {value!r}.").format(option=name, value=getattr(options, name)),
                _("Known: {known}.").format(known=", ".join(CACHE_TYPES)),
            )
    if options.weight_bits not in (0, 4, 8):
        return Refusal(_("weight_bits must be 8, 4 or 0."))
    return _wrong_files(options)


def _wrong_files(options: LoadOptions) -> Refusal | None:
    for path in (options.draft, options.projector, *(one.path for one in options.adapters)):
        if path is not None and not path.exists():
            return Refusal(_("{path} does not exist.").format(path=path))
    for adapter in options.adapters:
        if not math.isfinite(adapter.scale):
            return Refusal(_("The scale of the adapter {path} must be a number.").format(path=adapter.path))
    kept = options.prompt_cache
    if kept is not None and kept.limit < 0:
        return Refusal(_("The limit of the prompt cache must not be negative."))
    if kept is not None and kept.folder.exists() and not kept.folder.is_dir():
        return Refusal(_("{path} is not a folder: prompts cannot be kept there.").format(path=kept.folder))
    return None


def not_taken(engine: str, takes: Mapping[str, Takes], options: LoadOptions) -> Refusal | None:
    """The first option that is set and that an engine does not take, or not with this value."""
    for name in given(options):
        if name not in takes:
            return Refusal(
                _("The engine {engine} does not take the option {option}.").format(engine=engine, option=name),
                _("It takes: {names}.").format(names=", ".join(takes)),
            )
        among = takes[name].among
        if among and getattr(options, name) not in among:
            return Refusal(
                _("The engine {engine} does not take {option} = {value}.").format(
                    engine=engine, option=name, value=getattr(options, name)
                ),
                _("It takes: {names}.").format(names=", ".join(str(one) for one in among)),
            )
    return None


def to_json(options: LoadOptions) -> str:
    """The options as JSON text, for an engine's process."""
    return json.dumps(asdict(options), default=str)


def from_data(data: Mapping[str, Any]) -> LoadOptions:
    """The options from what :func:`to_json` wrote. Raises KeyError, TypeError, ValueError."""
    content = dict(data)
    content["adapters"] = tuple(Adapter(Path(one["path"]), float(one["scale"])) for one in content["adapters"])
    for name in ("draft", "projector"):
        content[name] = None if content[name] is None else Path(content[name])
    if (kept := content["prompt_cache"]) is not None:
        content["prompt_cache"] = PromptCache(Path(kept["folder"]), int(kept["limit"]))
    return LoadOptions(**content)
