"""What the library knows of a model. These records are also the JSON files under ``models/metadata``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict


@dataclass(frozen=True)
class ModelFile:
    """One file of a model: its own name, its size in bytes and its SHA-256 (lower-case hex)."""

    name: str
    size: int
    sha256: str


class Derivation(TypedDict):
    """How a model was made from another: the parent's reference, the tool, its version, the target type."""

    parent: str
    parent_sha256: str
    tool: str
    tool_version: str
    quantization: str


@dataclass(frozen=True)
class ModelRecord:
    """A model in the library. ``ref`` is ``name:variant``, for example ``smollm2-135m-instruct:q4_1``.

    ``files`` lie under ``store/models/<name>/<variant>/``, each a link to ``store/blobs/sha256/<hash>``.
    ``quantization`` names the dominant tensor type; ``bits_per_weight`` is weight bits over parameters.
    ``source_sha256`` is the hash of what was downloaded where that is an archive (a wheel), else empty.
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

    @property
    def ref(self) -> str:
        """``name:variant``."""
        return f"{self.name}:{self.variant}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)
