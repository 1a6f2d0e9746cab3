"""The seam of a model format: recognise a model's files, and read their headers without trusting them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, Final, Protocol

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes
from ultralab.planner.types import ModelShape


@dataclass(frozen=True)
class Item:
    """One file of a model, here or far away. ``open`` gives a seekable stream of its bytes.

    ``name`` is relative to the model, with ``/``; ``where`` (a path or an address) is for messages. A far item is read
    by ranges: read what you need, not more. Opening and reading raise NotFound, FileAccess, FetchFailed.
    """

    name: str
    size: int
    where: str
    open: Callable[[], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True)
class Limits:
    """What a header may cost: more is refused with the limit and the setting that raises it."""

    tensors: int = 262_144
    header_bytes: int = 128 * 1024 * 1024


USUAL_LIMITS: Final = Limits()


def too_many(where: str, limit: int) -> Unsupported:
    """The error for a header that lists more tensors than the limit."""
    return Unsupported(
        _("{path} has too many tensors: more than {limit}.").format(path=where, limit=limit),
        hint=_("Raise the setting {setting} if you trust the file.").format(setting="models.max_tensors"),
        path=where,
        limit=limit,
        setting="models.max_tensors",
    )


def too_long(where: str, size: int, limit: int) -> Unsupported:
    """The error for a header of ``size`` bytes, far more than ``limit`` tensors take."""
    return Unsupported(
        _("{path} has a header of {size}, far more than {limit} tensors need.").format(
            path=where, size=format_bytes(size), limit=limit
        ),
        hint=_("Raise the setting {setting} if you trust the file.").format(setting="models.max_tensors"),
        path=where,
        limit=limit,
        setting="models.max_tensors",
    )


@dataclass(frozen=True)
class Bundle:
    """The files that may make up one model: one file, or what lies in its folder. Names are unique.

    ``headers_only``: a file may end behind its header, for those who never load it.
    """

    where: str
    items: tuple[Item, ...]
    limits: Limits = USUAL_LIMITS
    headers_only: bool = False

    def named(self, name: str) -> Item | None:
        """The file of that name."""
        return next((item for item in self.items if item.name == name), None)

    def ending(self, *suffixes: str) -> tuple[Item, ...]:
        """The files whose names end so, in any case of letters, by name."""
        lower = tuple(suffix.lower() for suffix in suffixes)
        return tuple(sorted((item for item in self.items if item.name.lower().endswith(lower)), key=lambda i: i.name))


@dataclass(frozen=True)
class ModelHeader:
    """What a model's files say of themselves, weights unread.

    ``tensor_types`` maps a tensor type's name to the bytes stored in it; ``quantization`` is the type of most
    weight bytes. ``metadata`` holds the scalar entries as the file spells them; long lists are left out.
    ``active_parameters`` are those that one token uses; equal to all where nothing is routed. ``dtype`` is the type of
    what is not quantized. ``tokenizer`` names its kind (``gpt2``, ``BPE``). ``entry`` is the file that an engine is
    given, empty where it is given the folder. ``unsafe`` says, one message per finding, why loading these files could
    run code: empty only for formats that hold data and nothing else.
    """

    format: str
    title: str
    licence: str
    quantization: str
    bits_per_weight: float
    tensor_types: Mapping[str, int]
    shape: ModelShape
    metadata: Mapping[str, str | int | float | bool]
    active_parameters: int = 0
    experts: int = 0
    experts_used: int = 0
    dtype: str = ""
    tokenizer: str = ""
    chat_template: str = ""
    base_models: tuple[str, ...] = ()
    entry: str = ""
    files: tuple[str, ...] = field(default=())
    unsafe: tuple[str, ...] = ()


class Format(Protocol):
    """One format. Stateless; every method only reads, is idempotent, and holds no file open.

    At most one built-in format recognises a bundle: each says no to what a more special one recognises.
    """

    name: str

    def recognises(self, bundle: Bundle) -> bool:
        """Whether these files are of this format: by their first bytes and small JSON files, not by names alone.

        Never raises for files that are there and readable; reads at most a few KiB of each.
        """

    def read_header(self, bundle: Bundle) -> ModelHeader:
        """Read the headers in bounded time and memory, whatever the files claim. ``files`` names what belongs to it.

        Raises FileDamaged (truncated, a part missing, inconsistent or hostile), Unsupported (a version or an
        architecture entry we cannot read, more tensors than the limit), NotFound, FileAccess, FetchFailed.
        """
