"""Public measurements of speed on Apple silicon: ``apple.yaml`` with their sources, ``models.yaml`` with shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from ultralab.machine.chips import nominal_bandwidth, variants
from ultralab.planner.hardware import Hardware, Sample
from ultralab.planner.speed.work import work_of
from ultralab.planner.types import AttentionLayers, Demand, Experts, ModelShape, RecurrentLayers


@dataclass(frozen=True)
class Measurement:
    """One row: a sample, whether its source was read in a text that quotes it, and why it is not used ("": it is)."""

    sample: Sample
    second_hand: bool
    excluded: str


@cache
def measurements() -> tuple[Measurement, ...]:
    """Every row of the file; a row with a decode and a prefill speed gives two, of their own numbers of tokens."""
    shapes, rows = _data("models.yaml"), _data("apple.yaml")
    sources = rows.pop("sources")
    found: list[Measurement] = []
    for engine, by_chip in rows.items():
        for chip, listed in by_chip.items():
            for row in listed:
                found += _measurements(row, engine, chip, shapes[row["model"]], sources[row["source"]])
    return tuple(found)


def public_samples() -> tuple[Sample, ...]:
    """The samples of all rows that are used."""
    return tuple(one.sample for one in measurements() if not one.excluded)


def _measurements(
    row: Mapping[str, Any], engine: str, chip: str, model: Mapping[str, Any], source: Mapping[str, Any]
) -> Iterator[Measurement]:
    hardware = _hardware(chip, row["cores"])
    shape = shape_of(model, row["bits"])
    for kind in ("decode", "prefill"):
        if kind not in row:
            continue
        tokens, speed = row[kind]
        sample = Sample(
            model=row["model"],
            engine=engine,
            hardware=hardware,
            work=work_of(shape, Demand(tokens), tokens, row["quantization"]),
            prompt_tokens=tokens,
            decode_tok_s=speed if kind == "decode" else 0.0,
            prefill_tok_s=speed if kind == "prefill" else 0.0,
            source=source["at"],
            batch=row.get("batch", 0),
        )
        yield Measurement(sample, source.get("second_hand", False), row.get("excluded", ""))


def _hardware(chip: str, cores: int) -> Hardware:
    return Hardware(
        chip=chip,
        bandwidth=nominal_bandwidth(chip, cores).bytes_per_second,
        gpu=True,
        gpu_cores=cores,
        cpu_cores=max(performance for performance, _ in variants(chip)[0].cpus),
    )


def shape_of(model: Mapping[str, Any], bits: float) -> ModelShape:
    """The shape of a model of ``models.yaml`` with ``bits`` per weight, as far as speed depends on it."""
    groups = [
        AttentionLayers(count, heads, kv_heads, key, value, window, latent)
        for count, heads, kv_heads, key, value, window, latent in model["attention"]
    ]
    recurrent = (
        [RecurrentLayers(count, 0, state) for count, state in [model["recurrent"]]] if "recurrent" in model else []
    )
    first = groups[0]
    return ModelShape(
        architecture="",
        layers=model["layers"],
        embedding=0,
        feed_forward=0,
        heads=first.heads,
        kv_heads=first.kv_heads,
        key_dim=first.key_dim,
        value_dim=first.value_dim,
        vocabulary=0,
        trained_context=0,
        parameters=round(model["parameters"]),
        weight_bytes=round(model["parameters"] * bits / 8),
        bytes_per_token=round(model["read"] * bits / 8),
        cache=(*groups, *recurrent),
        experts=_experts(*model["experts"]) if "experts" in model else None,
        active_parameters=round(model["read"]),
    )


def _experts(count: int, used: int) -> Experts:
    return Experts(count, used, feed_forward=0)


def _data(name: str) -> dict[str, Any]:
    import yaml

    text = (files(__package__) / name).read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    return data
