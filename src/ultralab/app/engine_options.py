"""How a person asks for a model to be loaded, and the options that follow in this lab."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ultralab.app.lab import Lab
from ultralab.kernel.errors import NotFound, RequestError
from ultralab.kernel.language import _
from ultralab.settings import is_lab

if TYPE_CHECKING:
    from ultralab.engines.base import Engine
    from ultralab.engines.options import Adapter, LoadOptions, PromptCache


@dataclass(frozen=True)
class Wanted:
    """As on the command line. ``context`` and ``threads`` None: the setting's; ``draft``: a model; ``adapters``:
    ``PATH`` or ``PATH=SCALE``; ``chat_template``: a file; ``prompt_cache`` None: the setting's.
    """

    context: int | None = None
    threads: int | None = None
    seed: int = 42
    parallel: int = 1
    key_type: str = "f16"
    value_type: str = "f16"
    flash: bool = True
    batch: int = 2048
    ubatch: int = 512
    draft: str = ""
    adapters: tuple[str, ...] = ()
    chat_template: str = ""
    projector: str = ""
    embeddings: bool = False
    weight_bits: int = 0
    prompt_cache: int | None = None


def load_options(lab: Lab, wanted: Wanted) -> LoadOptions:
    """What was asked for, as options; what was not is at its default. Raises NotFound, RequestError, FileAccess."""
    from ultralab.engines.options import DEFAULTS, LoadOptions

    return LoadOptions(
        context=DEFAULTS.context if wanted.context is None else wanted.context,
        threads=wanted.threads or 0,
        seed=wanted.seed,
        parallel=wanted.parallel,
        key_type=wanted.key_type,
        value_type=wanted.value_type,
        flash=wanted.flash,
        batch=max(wanted.batch, wanted.ubatch),
        ubatch=wanted.ubatch,
        draft=_model(lab, wanted.draft) if wanted.draft else None,
        adapters=tuple(_adapter(text) for text in wanted.adapters),
        prompt_cache=_prompts(lab, wanted.prompt_cache or 0),
        chat_template=_text(Path(wanted.chat_template).expanduser()) if wanted.chat_template else "",
        projector=Path(wanted.projector).expanduser().absolute() if wanted.projector else None,
        embeddings=wanted.embeddings,
        weight_bits=wanted.weight_bits,
    )


def settled(lab: Lab, wanted: Wanted, options: LoadOptions, engine: Engine) -> LoadOptions:
    """The options with the lab's settings where nothing was asked for, as far as the engine takes them."""
    settings = lab.settings.engines
    found = options
    if wanted.context is None and "context" in engine.options:
        found = replace(found, context=settings.context)
    if "threads" in engine.options and not found.threads:
        found = replace(found, threads=settings.threads or lab.machine.performance_cores)
    if wanted.prompt_cache is None and "prompt_cache" in engine.options:
        found = replace(found, prompt_cache=_prompts(lab, settings.prompt_cache))
    return found


def _prompts(lab: Lab, limit: int) -> PromptCache | None:
    """Where prompts are kept: in the lab, where there is one."""
    from ultralab.engines.options import PromptCache

    return PromptCache(lab.home / "state" / "prompts", limit) if limit and is_lab(lab.home) else None


def _model(lab: Lab, ref: str) -> Path:
    from ultralab.app.engines import model_file

    return model_file(lab, ref).path


def _adapter(text: str) -> Adapter:
    from ultralab.engines.options import Adapter

    name, equals, scale = text.rpartition("=")
    if not equals:
        return Adapter(Path(text).expanduser().absolute())
    try:
        return Adapter(Path(name).expanduser().absolute(), float(scale))
    except ValueError as error:
        raise RequestError(
            _("{text!r} is no adapter: what stands behind = must be a number.").format(text=text),
            hint=_("For example: --adapter ./lora.gguf=0.5"),
        ) from error


def _text(path: Path) -> str:
    from ultralab.system import files

    if not path.is_file():
        raise NotFound(
            _("{path} is no file.").format(path=path), hint=_("Give a file that holds a chat template in Jinja.")
        )
    return files.read_text(path)
