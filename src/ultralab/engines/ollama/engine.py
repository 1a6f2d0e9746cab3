"""Ollama: a server that is not ours. A model is lent to it without a second copy, loaded, and taken back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ultralab.engines.options import LoadOptions, Takes
from ultralab.engines.types import Availability, Capability, Endpoint, ModelFile, Refusal
from ultralab.kernel.errors import EngineFailed, FetchFailed
from ultralab.kernel.language import N_, _
from ultralab.planner.types import Amount, MemoryPlan, ModelShape

if TYPE_CHECKING:
    from ultralab.engines.base import Client
    from ultralab.engines.ollama.attachment import Stay
    from ultralab.settings.schema import EngineSettings

_PART: Final = re.compile(r".*-\d{5}-of-\d{5}\.gguf", re.IGNORECASE)
_GLANCE: Final = 2.0  # seconds: what runs on this machine answers within milliseconds


class Ollama:
    """One Ollama, at an address. Implements ``engines.base.Engine``.

    ``places`` are the folders where it may keep its models; None: where an Ollama of this user or machine keeps them.
    Flash attention, KV types and parallel requests are settings of the server itself (``OLLAMA_FLASH_ATTENTION``,
    ``OLLAMA_KV_CACHE_TYPE``, ``OLLAMA_NUM_PARALLEL``), so those options are not taken.
    """

    name = "ollama"
    title = "Ollama"
    formats: frozenset[str] = frozenset({"gguf"})
    capabilities: frozenset[Capability] = frozenset({"chat", "completion", "embeddings", "tools", "vision"})

    options: Mapping[str, Takes] = {
        "context": Takes(N_("as num_ctx")),
        "threads": Takes(N_("as num_thread")),
        "seed": Takes(N_("as given")),
        "ubatch": Takes(N_("as num_batch, which is batch and micro-batch in one")),
        "embeddings": Takes(N_("the model is loaded for embeddings")),
    }

    def __init__(self, address: str = "http://127.0.0.1:11434", places: tuple[Path, ...] | None = None) -> None:
        self.address = address
        self.places = places

    def configured(self, settings: EngineSettings, which: str, secret: Callable[[str], str]) -> Ollama:
        """The Ollama at the settings' address; ``HOST:PORT`` is enough, as in Ollama's own ``OLLAMA_HOST``."""
        address = settings.ollama.strip().rstrip("/")
        return Ollama(address if "://" in address else f"http://{address}", self.places)

    def availability(self) -> Availability:
        """Whether an Ollama answers at the address; one small request."""
        from ultralab.engines.clients import answers
        from ultralab.engines.ollama import api
        from ultralab.engines.ollama.attachment import how_to_start, too_old

        try:
            with answers.client(self.address, timeout=_GLANCE) as client:
                found = api.version(client, _GLANCE)
        except EngineFailed as error:
            nobody = _("no Ollama answers at {address}").format(address=self.address)
            silent = isinstance(error.__cause__, FetchFailed)
            return Availability("", nobody if silent else error.message.rstrip("."), how_to_start())
        if api.is_too_old(found):
            return Availability("", too_old(found).rstrip("."), _("Update Ollama."))
        return Availability(f"Ollama {found}")

    def refusal(self, model: ModelFile, options: LoadOptions) -> Refusal | None:
        """A split file; Ollama says itself which architectures it knows."""
        if _PART.fullmatch(model.path.name):
            return Refusal(
                _("Ollama takes one file, and this model is split."),
                _("Merge the parts with llama.cpp: llama-gguf-split --merge FIRST-PART OUTPUT"),
            )
        return None

    def plan(self, shape: ModelShape, options: LoadOptions) -> MemoryPlan:
        """Nothing is held by us: Ollama sees to its own memory, and says afterwards how much it took."""
        basis = N_("Ollama sees to its own memory")
        nothing = Amount(0)
        return MemoryPlan(nothing, nothing, nothing, Amount(0, 0.0, basis), basis)

    def start(self, model: ModelFile, options: LoadOptions, secret: str) -> Stay:
        """The model in that Ollama; it knows no secret."""
        from ultralab.engines.ollama.attachment import Stay

        return Stay(self.address, model, options, self.places)

    def connect(self, endpoint: Endpoint) -> Client:
        """Ollama's own dialect."""
        from ultralab.engines.clients.ollama import OllamaClient

        return OllamaClient(endpoint)


ENGINE: Final = Ollama()
