"""What a reader needs to repeat an experiment: settings, machine, versions, hashes, each run in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ultralab.experiments.report.figures import MISSING, day, fixed, minute, percent, size
from ultralab.experiments.report.rows import Row
from ultralab.experiments.report.tables import spread_of
from ultralab.experiments.report.wording import Translate, listed
from ultralab.experiments.types import Expected, ExperimentRecord, Measured, RunRecord, Spread
from ultralab.kernel.language import N_
from ultralab.kernel.units import format_bytes, format_count, format_rate, format_seconds


@dataclass(frozen=True)
class Fact:
    """A name and its value; ``exact`` values (hashes, references) are set in a fixed-width type."""

    name: str
    value: str
    exact: bool = False


@dataclass(frozen=True)
class RunDetails:
    """One run with everything that was recorded of it."""

    name: str
    tag: str
    problem: str
    facts: tuple[Fact, ...]


_MACHINE_WORDS = {
    "chip": N_("chip"),
    "vendor": N_("chip maker"),
    "architecture": N_("architecture"),
    "os_name": N_("operating system"),
    "os_version": N_("its version"),
    "performance_cores": N_("performance cores"),
    "efficiency_cores": N_("efficiency cores"),
    "logical_cores": N_("logical cores"),
    "gpu_cores": N_("GPU cores"),
    "memory_bytes": N_("memory"),
    "gpu_memory_limit_bytes": N_("GPU memory limit"),
    "limit_bytes": N_("limit for models"),
    "unified_memory": N_("unified memory"),
    "bandwidth_bytes_per_second": N_("memory bandwidth"),
    "bandwidth_basis": N_("basis of the bandwidth"),
    "bandwidth_source": N_("source of the bandwidth"),
}
_BASIS_WORDS = {"table": N_("the maker's figure"), "measured": N_("measured"), "unknown": N_("unknown")}
_ZERO_IS_UNKNOWN = frozenset({"gpu_cores", "gpu_memory_limit_bytes", "bandwidth_bytes_per_second"})
_OPTION_WORDS = {"context": N_("context"), "threads": N_("threads"), "seed": N_("seed")}
_PART_WORDS = {
    "weights": N_("weights"),
    "kv_cache": N_("KV cache"),
    "compute": N_("compute buffers"),
    "overhead": N_("process"),
}


def origin(experiment: ExperimentRecord, _: Translate) -> tuple[Fact, ...]:
    """When, by whom, with which version: what every document says of itself."""
    return (
        Fact(_("Date"), day(experiment.started)),
        Fact(_("Author"), experiment.author or MISSING),
        Fact(_("Version"), f"ultralab {experiment.provenance.ultralab}"),
    )


def labels(experiment: ExperimentRecord, runs: Sequence[RunRecord], _: Translate) -> tuple[Fact, ...]:
    """What the metadata of an experiment names beside its origin."""
    models = sorted({run.model_title for run in runs if run.model_title})
    place = experiment.provenance
    return (
        Fact(_("ID"), experiment.id, exact=True),
        Fact(_("Environment"), f"Python {place.python}, {place.platform}"),
        Fact(_("Model"), listed(models, _) or MISSING),
        Fact(_("Tags"), listed(experiment.tags, _) or MISSING),
    )


def setup(runs: Sequence[RunRecord], _: Translate) -> tuple[Fact, ...]:
    """What all runs share: engine, options, seed; where they differ, every value is listed."""
    found: dict[str, list[str]] = {}
    for run in runs:
        found.setdefault(_("engine"), []).append(f"{run.engine} {run.engine_version}".strip())
        for name, value in run.options.items():
            found.setdefault(_word(_OPTION_WORDS, name, _), []).append(str(value))
        found.setdefault(_("seed"), []).append(str(run.seed))
        found.setdefault(_("decoding"), []).append(_("greedy"))
    return tuple(Fact(name, listed(list(dict.fromkeys(values)), _)) for name, values in found.items())


def facts_of_place(experiment: ExperimentRecord, _: Translate) -> tuple[Fact, ...]:
    """Machine, versions, the experiment file and the lab's commit."""
    place = experiment.provenance
    return (
        *_machine(place.machine, _),
        Fact(_("platform"), place.platform),
        Fact("Python", place.python),
        Fact("ultralab", place.ultralab),
        Fact(_("git commit"), place.git_commit or MISSING, exact=True),
        Fact(_("uncommitted changes"), _("yes") if place.git_dirty else _("no")),
        Fact(_("experiment file"), experiment.spec_file),
        Fact(_("its SHA-256"), experiment.spec_sha256, exact=True),
        Fact(_("started"), minute(experiment.started)),
        Fact(_("ended"), minute(experiment.ended)),
    )


def details(row: Row, _: Translate) -> RunDetails:
    """Everything that was recorded of one run."""
    run = row.run
    facts = [
        Fact(_("run"), run.id, exact=True),
        Fact(_("model"), run.model_ref, exact=True),
        Fact(_("title"), run.model_title or MISSING),
        *(Fact("SHA-256", digest, exact=True) for digest in run.model_sha256),
        Fact(_("file size"), size(run.model_bytes)),
        Fact(_("parameters"), format_count(run.parameters) if run.parameters else MISSING),
        Fact(_("quantization"), f"{run.quantization or MISSING} ({fixed(run.bits_per_weight or None, 2)} bpw)"),
        Fact(_("engine"), f"{run.engine} {run.engine_version}".strip()),
        Fact(_("options"), listed([f"{name}={value}" for name, value in run.options.items()], _) or MISSING),
        Fact(_("seed"), str(run.seed)),
        Fact(_("started"), minute(run.started)),
        Fact(_("ended"), minute(run.ended)),
    ]
    if row.measured:
        facts += _measured(row.measured, _)
    if run.expected:
        facts += _expected(run.expected, _)
    tag = "" if run.status == "finished" else run.status
    words = {"failed": _("failed"), "interrupted": _("interrupted")}
    problem = run.problem if row.measured is None else ""
    return RunDetails(row.label, words.get(run.status, _("not finished")) if tag else "", problem, tuple(facts))


def _measured(measured: Measured, _: Translate) -> list[Fact]:
    def ranged(spread: Spread, unit: str, digits: int | None = None) -> str:
        cell = spread_of(spread, digits)
        count = len(spread.values)
        return _("{median} {unit} ({range}, {count} repeats)").format(
            median=cell.text, unit=unit, range=cell.note, count=count
        )

    return [
        Fact(_("time to load"), format_seconds(measured.load_s)),
        Fact(_("TTFT"), ranged(measured.ttft_s, "s", 3)),
        Fact(_("prefill, client"), ranged(measured.prefill_tok_s, "tok/s")),
        Fact(_("prefill, engine"), ranged(measured.engine_prefill_tok_s, "tok/s")),
        Fact(_("decode, client"), ranged(measured.decode_tok_s, "tok/s")),
        Fact(_("decode, engine"), ranged(measured.engine_decode_tok_s, "tok/s")),
        Fact(_("cached prompt tokens"), str(measured.cached_tokens)),
        Fact(
            _("memory after use"),
            _("{total}, of which {baseline} before the model was loaded").format(
                total=size(measured.memory_bytes), baseline=size(measured.baseline_bytes)
            ),
        ),
        Fact(
            _("NLL"),
            _("{nll} nats per token over {tokens} tokens").format(
                nll=fixed(measured.nll, 6), tokens=measured.scored_tokens
            ),
        ),
        Fact(_("same favourite token"), percent(measured.agreement)),
    ]


def _expected(expected: Expected, _: Translate) -> list[Fact]:
    parts = " + ".join(
        f"{_word(_PART_WORDS, name, _)} {format_bytes(count)}" for name, count in expected.memory_parts.items()
    )
    return [
        Fact(
            _("memory, predicted"), f"{size(expected.memory_bytes)} = {parts}" if parts else size(expected.memory_bytes)
        ),
        Fact(_("basis of the memory figure"), _basis(expected.memory_basis, _)),
        Fact(_("basis of the decode figure"), _basis(expected.decode_basis, _)),
    ]


def _basis(text: str, _: Translate) -> str:
    """The planner marks its bases for translation; an empty message id would answer with the catalogue's header."""
    return _(text) if text else MISSING


def _machine(machine: Mapping[str, object], _: Translate, prefix: str = "") -> list[Fact]:
    facts: list[Fact] = []
    for key, value in machine.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            facts += _machine({str(inner): item for inner, item in value.items()}, _, f"{name}_")
        elif value not in (None, "") and not (value == 0 and name in _ZERO_IS_UNKNOWN):
            facts.append(Fact(_word(_MACHINE_WORDS, name, _), _quantity(name, value, _)))
    return facts


def _quantity(name: str, value: object, _: Translate) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int | float) and name.endswith("per_second"):
        return format_rate(value)
    if isinstance(value, int | float) and name.endswith("bytes"):
        return format_bytes(value)
    if isinstance(value, list | tuple):
        return listed([str(item) for item in value], _)
    if name == "bandwidth_basis":
        return _word(_BASIS_WORDS, str(value), _)
    return _(str(value)) if name == "bandwidth_source" else str(value)


def _word(words: Mapping[str, str], name: str, _: Translate) -> str:
    return _(words[name]) if name in words else name.replace("_", " ")
