"""What llama.cpp would refuse, said before anything is started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from ultralab.engines.options import Adapter, LoadOptions
from ultralab.engines.types import ModelFile, Refusal
from ultralab.kernel.errors import UltralabError
from ultralab.kernel.language import _
from ultralab.kernel.text import printable

PLAIN: Final = ("f32", "f16", "bf16")
_MAGIC: Final = b"GGUF"
_MOST_SEED: Final = 2**32 - 1

Knows = Callable[[str], bool]
"""Whether a llama.cpp has an architecture."""


def refusal(model: ModelFile, options: LoadOptions, knows: Knows) -> Refusal | None:
    """Why llama.cpp would not load a model so; None where nothing speaks against it. Reads headers beside the model."""
    return (
        _of_file(model)
        or _of_architecture(model.shape.architecture, knows)
        or _of_cache(options)
        or _of_seed(options.seed)
        or _of_embeddings(options)
        or _of_draft(options.draft, knows)
        or _of_projector(options.projector)
        or next((found for one in options.adapters if (found := _of_adapter(one, model.shape.architecture))), None)
    )


def _of_file(model: ModelFile) -> Refusal | None:
    """That the files are there and long enough for the tensors that the header lists: no more than a look at each."""
    paths = parts(model.path)
    try:
        size = sum(path.stat().st_size for path in paths)
        with model.path.open("rb") as stream:
            magic = stream.read(len(_MAGIC))
    except FileNotFoundError as error:
        return Refusal(
            _("the file {path} is missing").format(path=error.filename),
            _("Fetch the model again, or check the library: ultralab models verify."),
        )
    except OSError as error:
        return Refusal(_("the file {path} cannot be read: {reason}").format(path=error.filename, reason=error.strerror))
    if magic != _MAGIC:
        return Refusal(
            _("{path} is no GGUF file").format(path=model.path), _("Check the library: ultralab models verify.")
        )
    if size < model.shape.weight_bytes:
        return Refusal(
            _("{path} is cut off: it has {size} bytes, its tensors alone need {needed}").format(
                path=model.path, size=size, needed=model.shape.weight_bytes
            ),
            _("Fetch the model again, or check the library: ultralab models verify."),
        )
    return None


def parts(path: Path) -> tuple[Path, ...]:
    """The files of a model that may be split: the names that its own promises, whether they are there or not."""
    from ultralab.models.formats.gguf_split import PART

    named = PART.fullmatch(path.name)
    if named is None:
        return (path,)
    stem, _number, count = named.groups()
    return tuple(path.with_name(f"{stem}-{number:05d}-of-{count}{path.suffix}") for number in range(1, int(count) + 1))


def _of_architecture(architecture: str, knows: Knows) -> Refusal | None:
    if not architecture or knows(architecture):
        return None
    return Refusal(
        _("this llama.cpp does not know the architecture {name}").format(name=printable(architecture)),
        _("A newer one may: pip install --upgrade xllamacpp, or name a newer llama-server (setting llama_server)."),
    )


def _of_cache(options: LoadOptions) -> Refusal | None:
    """``llama-context.cpp``: a quantized V cache requires flash attention."""
    if options.flash or options.value_type in PLAIN:
        return None
    return Refusal(
        _("llama.cpp keeps values in {type} with flash attention only").format(type=options.value_type),
        _("Switch flash attention on, or keep values in f16."),
    )


def _of_seed(seed: int) -> Refusal | None:
    """``llama.h``: 32 bits, and all of them set (``LLAMA_DEFAULT_SEED``) mean a random one."""
    if seed < _MOST_SEED:
        return None
    return Refusal(_("llama.cpp takes seeds below {most}").format(most=_MOST_SEED))


def _of_embeddings(options: LoadOptions) -> Refusal | None:
    """What makes no sense where no text is generated."""
    if not options.embeddings:
        return None
    for name in ("draft", "prompt_cache", "projector"):
        if getattr(options, name) is not None:
            return Refusal(_("{option} is of no use where the model gives embeddings").format(option=name))
    return None


def _of_draft(draft: Path | None, knows: Knows) -> Refusal | None:
    if draft is None:
        return None
    from ultralab.models.bundles import from_path
    from ultralab.models.formats.gguf import FORMAT

    try:
        architecture = FORMAT.read_header(from_path(draft)).shape.architecture
    except UltralabError as error:
        return Refusal(_("the draft model cannot be loaded: {reason}").format(reason=error.message), error.hint)
    return _of_architecture(architecture, knows)


def _of_projector(projector: Path | None) -> Refusal | None:
    if projector is None:
        return None
    from ultralab.models.formats.gguf_projector import read_projector
    from ultralab.models.formats.gguf_reader import read_gguf

    try:
        read_projector(read_gguf(projector))
    except UltralabError as error:
        return Refusal(_("the projector cannot be loaded: {reason}").format(reason=error.message), error.hint)
    return None


def _of_adapter(adapter: Adapter, architecture: str) -> Refusal | None:
    """``llama-adapter.cpp``: a GGUF of type ``adapter``, kind ``lora``, made for the model's architecture."""
    from ultralab.models.formats.gguf_reader import read_gguf

    try:
        values = read_gguf(adapter.path).values
    except UltralabError as error:
        return Refusal(_("the adapter cannot be loaded: {reason}").format(reason=error.message), error.hint)
    if values.get("general.type") != "adapter" or values.get("adapter.type") != "lora":
        return Refusal(
            _("{path} is no LoRA adapter").format(path=adapter.path),
            _("llama.cpp takes adapters as GGUF files (its convert_lora_to_gguf.py makes them)."),
        )
    made_for = str(values.get("general.architecture", ""))
    if made_for != architecture:
        return Refusal(
            _("the adapter {path} was made for the architecture {theirs}, the model has {ours}").format(
                path=adapter.path, theirs=printable(made_for), ours=architecture
            )
        )
    return None
