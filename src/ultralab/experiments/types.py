"""What an experiment leaves behind. These records are the JSON files of a capsule; everything else is drawn from them.

A capsule is a folder ``experiments/<kind>/<experiment id>/`` with ``experiment.yaml``, ``experiment.json``,
``report.md``, ``report.html``, ``plots/`` and ``runs/<run id>/``. Each run's folder speaks for itself: ``run.json``
(with the SHA-256 of the weights, engine version, options, seed), ``metrics.jsonl``, ``scores.jsonl``, ``engine.log``,
``environment.txt`` (every installed package) and ``provenance.json`` (ultralab, Python, platform, machine, git commit).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["created", "running", "finished", "failed", "interrupted"]


@dataclass(frozen=True)
class Spread:
    """A figure measured several times, in the order measured. Reports show the median and the range."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value; of an even count, the mean of the middle two."""
        ordered = sorted(self.values)
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    @property
    def low(self) -> float:
        """The smallest."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest."""
        return max(self.values)


@dataclass(frozen=True)
class Expected:
    """What the planner said before the run: bytes, tok/s, the band, and where it comes from."""

    memory_bytes: int
    memory_parts: dict[str, int]
    memory_error_band: float
    memory_basis: str
    decode_tok_s: float
    decode_low: float
    decode_high: float
    decode_basis: str


@dataclass(frozen=True)
class Measured:
    """What one run measured.

    Speeds in tok/s as the client saw them (``engine_*``: as the engine's own timings say). ``ttft_s`` in seconds.
    ``memory_bytes`` is the engine process's footprint after use, of which ``baseline_bytes`` before the model was
    loaded. ``nll`` is the mean negative log-likelihood in nats per token over ``scored_tokens`` tokens.
    ``agreement`` is the share of positions where the favourite token is the reference's (1.0 for the reference itself,
    None where the reference was not measured).
    """

    load_s: float
    ttft_s: Spread
    prefill_tok_s: Spread
    decode_tok_s: Spread
    engine_prefill_tok_s: Spread
    engine_decode_tok_s: Spread
    cached_tokens: int
    memory_bytes: int
    baseline_bytes: int
    nll: float
    agreement: float | None
    scored_tokens: int


@dataclass(frozen=True)
class RunRecord:
    """One model variant measured once: ``run.json``."""

    id: str
    experiment: str
    variant: str
    reference: bool
    status: Status
    started: str
    ended: str
    model_ref: str
    model_title: str
    model_sha256: tuple[str, ...]
    model_bytes: int
    parameters: int
    bits_per_weight: float
    quantization: str
    engine: str
    engine_version: str
    options: dict[str, int | str]
    seed: int
    expected: Expected | None = None
    measured: Measured | None = None
    problem: str = ""


@dataclass(frozen=True)
class Provenance:
    """Where and with what an experiment ran: in ``experiment.json``, and each run's ``provenance.json`` without packages."""

    ultralab: str
    python: str
    platform: str
    machine: dict[str, object]
    git_commit: str
    git_dirty: bool
    packages: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class ExperimentRecord:
    """One execution of an experiment file: ``experiment.json``.

    ``owner_pid`` and ``owner_start`` name the process that runs it, so that a record which says "running" can be
    told from one whose process was killed.
    """

    id: str
    kind: str
    title: str
    question: str
    author: str
    status: Status
    started: str
    ended: str
    spec_file: str
    spec_sha256: str
    tags: tuple[str, ...]
    provenance: Provenance
    runs: tuple[str, ...] = ()
    problem: str = ""
    owner_pid: int = 0
    owner_start: str = ""
