"""What the library knows of a model. These records are also the JSON files under ``models/metadata``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict


@dataclass(frozen=True)
class ModelFile:
    """One file of a model: its name relative to the model's folder, its size in bytes and its SHA-256 (lower-case hex)."""

    name: str
    size: int
    sha256: str


class _Made(TypedDict):
    parent: str
    parent_sha256: str
    tool: str
    tool_version: str
    quantization: str


class Derivation(_Made, total=False):
    """How a model was made from another: the parent's reference and hash, the tool, its version, the target type.

    ``options`` is what else was asked for, in the tool's words; ``judged`` what the judge by tokens found.
    """

    options: str
    judged: str


@dataclass(frozen=True)
class Staged:
    """A file that is checked and ready to become part of a model: its name there, its size and SHA-256.

    ``path`` is moved into the store, unless it is ``kept``: then it stays where it is and the store only links to it
    (it belongs to another tool, or is in the store already).
    """

    path: Path
    name: str
    size: int
    sha256: str
    kept: bool = False


@dataclass(frozen=True)
class ModelRecord:
    """A model in the library. ``ref`` is ``name:variant``, for example ``smollm2-135m-instruct:q4_1``.

    ``files`` lie under ``store/tree/<family>/<name>/<variant>/``, each a link to ``store/blobs/sha256/<hash>``;
    ``entry`` is the one that an engine is given, empty where it is given the folder.
    ``quantization`` names the dominant tensor type; ``bits_per_weight`` is weight bits over parameters.
    ``source_sha256`` is the hash of what was downloaded where that is an archive (a wheel), else empty. ``revision`` is
    what the source's reference stood for. ``unsafe`` is not empty where loading could run code.
    """

    name: str
    variant: str
    title: str
    family: str
    format: str
    architecture: str
    parameters: int
    quantization: str
    bits_per_weight: float
    context: int
    licence: str
    source: str
    source_url: str
    added: str
    added_by: str
    files: tuple[ModelFile, ...]
    derived: Derivation | None = None
    description: str = ""
    tensor_types: dict[str, int] = field(default_factory=dict)
    source_sha256: str = ""
    revision: str = ""
    entry: str = ""
    active_parameters: int = 0
    experts: int = 0
    experts_used: int = 0
    layers: int = 0
    dtype: str = ""
    tokenizer: str = ""
    chat_template: bool = False
    base_models: tuple[str, ...] = ()
    unsafe: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """``name:variant``."""
        return f"{self.name}:{self.variant}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def sha256(self) -> str:
        """The hash of the one file; of several, the hash of what ``sha256sum`` prints for them, by name."""
        if len(self.files) == 1:
            return self.files[0].sha256
        lines = sorted(f"{file.sha256}  {file.name}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
