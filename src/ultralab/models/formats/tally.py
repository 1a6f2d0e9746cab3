"""What a model's tensors add up to: parameters, bytes, the share of experts. A fold; nothing is kept per tensor."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_ROUTED: Final = re.compile(r"(?:^|\.)(?:experts|switch_mlp|switch_glu)(?:\.|$)")
"""Of a mixture of experts, the weights that are routed: transformers' names, and mlx-lm's for the stacked ones."""

_EMBEDDING: Final = re.compile(r"(?:^|\.)(?:embed_tokens|tok_embeddings|word_embeddings|wte|embed_in)\.")
_OUTPUT: Final = re.compile(r"(?:^|\.)(?:lm_head|embed_out)\.|^output\.weight$")


class Weight(NamedTuple):
    """One weight as a model has it, however it is stored: ``type`` names how, ``size`` bytes with all that unpacks it."""

    name: str
    type: str
    elements: int
    size: int
    matrix: bool


@dataclass
class Tally:
    """The sums. ``types``: bytes by type of everything, ``inner`` of the matrices that are no embedding or output.

    What lies under the names that begin with ``beside`` (layers that only predict further tokens) is no parameter of the
    model: such layers are stored with it, and most engines leave them out. Their bytes are ``beside_size``.
    """

    beside: tuple[str, ...] = ()
    parameters: int = 0
    beside_elements: int = 0
    beside_size: int = 0
    size: int = 0
    routed: int = 0
    routed_size: int = 0
    embedding_size: int = 0
    embedding_elements: int = 0
    embeddings: int = 0
    has_output: bool = False
    types: dict[str, int] = field(default_factory=dict)
    inner: dict[str, int] = field(default_factory=dict)

    def add(self, weights: Iterable[Weight]) -> Tally:
        """Count these too."""
        types, inner = self.types, self.inner
        beside = self.beside
        for name, kind, elements, size, matrix in weights:
            if beside and name.startswith(beside):
                self.beside_elements += elements
                self.beside_size += size
                self.size += size
                types[kind] = types.get(kind, 0) + size
                continue
            self.parameters += elements
            self.size += size
            types[kind] = types.get(kind, 0) + size
            ends = False
            if ("experts" in name or "switch_" in name) and _ROUTED.search(name):
                self.routed += elements
                self.routed_size += size
            elif ("embed" in name or "wte" in name) and _EMBEDDING.search(name):
                self.embedding_size += size
                self.embedding_elements += elements
                self.embeddings += 1
                ends = True
            elif ("_head" in name or "_out" in name or name == "output.weight") and _OUTPUT.search(name):
                self.has_output = ends = True
            if matrix and not ends:
                inner[kind] = inner.get(kind, 0) + size
        return self

    def join(self, other: Tally) -> Tally:
        """Both together."""
        self.parameters += other.parameters
        self.beside_elements += other.beside_elements
        self.beside_size += other.beside_size
        self.size += other.size
        self.routed += other.routed
        self.routed_size += other.routed_size
        self.embedding_size += other.embedding_size
        self.embedding_elements += other.embedding_elements
        self.embeddings += other.embeddings
        self.has_output = self.has_output or other.has_output
        for ours, theirs in ((self.types, other.types), (self.inner, other.inner)):
            for kind, size in theirs.items():
                ours[kind] = ours.get(kind, 0) + size
        return self

    def active(self, share: float) -> int:
        """Parameters that one token uses, where it uses ``share`` of the routed experts."""
        return self.parameters - self.routed + round(self.routed * share)

    def bytes_per_token(self, share: float) -> int:
        """Bytes read to decode one token: an embedding that is not the output too is looked up, a row of it."""
        looked_up = self.embedding_size if self.has_output else 0
        return self.size - self.beside_size - looked_up - self.routed_size + round(self.routed_size * share)

    @property
    def bits_per_weight(self) -> float:
        """Bits stored for each number, of everything. At least one number must be there."""
        return 8 * self.size / (self.parameters + self.beside_elements)

    @property
    def dominant(self) -> str:
        """The type of most bytes in the matrices of the layers, else of all."""
        totals = self.inner or self.types
        return min(totals, key=lambda kind: (-totals[kind], kind), default="")
