"""What a host is asked for and what it gives: plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ultralab import machine
from ultralab.engines.base import Attachment, Client
from ultralab.engines.options import LoadOptions
from ultralab.engines.types import Endpoint, ModelFile
from ultralab.system import process


@dataclass(frozen=True)
class Request:
    """A model to load, and how. ``beside``: bytes that the options' draft model, projector and adapters take besides."""

    model: ModelFile
    options: LoadOptions
    beside: int = 0


@dataclass(frozen=True)
class Patience:
    """How long an engine is waited for, in seconds.

    ``load``: until it is ready; the largest models come from a disk, not from memory. ``silence``: without a step of
    progress or a line of log while it loads. ``silent``: without an answer whether it is well, while it serves.
    ``stalled``: at work and not going on; llama.cpp tells of its work between two batches only, and 2048 tokens of a
    large model take minutes on a slow processor. ``health``: for one answer whether it is well, asked every
    ``interval``. ``ending``: to end by itself, before it is killed.
    """

    load: float = 1800.0
    silence: float = 300.0
    silent: float = 180.0
    stalled: float = 900.0
    health: float = 10.0
    interval: float = 3.0
    ending: float = 5.0


USUAL = Patience()


@dataclass(frozen=True)
class Loaded:
    """A model that answers. ``baseline`` is the process's footprint before the model was loaded, in bytes.

    With a server that is not ours: ``attachment`` instead of ``child``, ``pid`` 0, ``baseline`` 0. ``condition`` says
    what is wrong with it, empty while it is well.
    """

    engine: str
    version: str
    client: Client
    endpoint: Endpoint
    child: process.Child | None
    attachment: Attachment | None
    pid: int
    baseline: int
    load_seconds: float
    log: Path
    condition: Callable[[], str]

    def footprint(self) -> int:
        """What the engine's process holds now, bytes (on a Mac the physical footprint, elsewhere resident memory)."""
        if self.attachment is not None:
            return self.attachment.footprint()
        return machine.footprint(self.pid)

    def alive(self) -> bool:
        """Whether it can still be asked. At once for a process of ours; a server that is not ours is asked for it."""
        return not self.condition()

    def why(self) -> str:
        """Why it can no longer be asked (translated), empty while it can. May be called from any thread."""
        return self.condition()
