"""The seam of a conversion's target: what would be made, and making it. One module per target, listed in ``convert``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ultralab.kernel.progress import Progress
from ultralab.models.library import Library
from ultralab.models.types import ModelRecord


@dataclass(frozen=True)
class Options:
    """What may be asked for besides the target. 0 and empty: the target's own default.

    ``bits``, ``group_size`` and ``mode`` (affine, mxfp4, nvfp4, mxfp8) quantize, for MLX only. ``dtype`` (F16, BF16, F32) is
    the type of what is not quantized; empty: as it is. ``llama_cpp`` is llama.cpp's folder, where its converter is not on PATH.
    """

    bits: int = 0
    group_size: int = 0
    mode: str = ""
    dtype: str = ""
    llama_cpp: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What a conversion would be. ``variant`` is the plain name of what it makes, ``options`` the record's words.

    ``lossless``: the result must say what the source says; where it is not, at least the share ``least`` of the tokens
    must agree. ``size`` is about what it takes on the disk, ``memory`` at its
    peak, both bytes, the judge left out. ``versionless``: what another version of the tool made is good as well.
    """

    format: str
    variant: str
    tool: str
    tool_version: str
    options: str
    lossless: bool
    size: int
    memory: int
    versionless: bool = True
    least: float = 0.0


@dataclass(frozen=True)
class Task:
    """A conversion under way: ``source`` is the model's folder, ``to`` one that is not there yet, ``scratch`` for logs."""

    library: Library
    record: ModelRecord
    source: Path
    to: Path
    scratch: Path
    options: Options
    plan: Plan
    progress: Progress


class Target(Protocol):
    """A target. Both methods raise Unsupported for what it cannot do, RequestError for options that make no sense."""

    sources: frozenset[str]

    def plan(self, record: ModelRecord, options: Options) -> Plan:
        """What would be made, from the record alone. Reads no file of the model."""

    def make(self, task: Task) -> None:
        """Make and fill ``task.to``; what belongs to the result is there as files or as links. May be interrupted at any point.

        Raises ToolFailed, FileDamaged, DiskFull, FileAccess.
        """
