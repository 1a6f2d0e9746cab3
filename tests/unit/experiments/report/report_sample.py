"""Records of an experiment such as the example makes: one source, four variants, plausible figures."""

from __future__ import annotations

from dataclasses import replace

from ultralab.experiments.types import Expected, ExperimentRecord, Measured, Provenance, RunRecord, Spread
from ultralab.kernel.units import MIB

PARAMETERS = 134_515_008

# name: bits per weight, file MiB, memory MiB, predicted MiB, decode, prefill, ttft, nll, agreement, predicted decode
FIGURES = {
    "Q4_1": (5.74, 92.1, 219.0, 213.9, 110.0, 341.0, 0.402, 3.7504, 1.0, 104.0),
    "Q8_0": (8.50, 136.3, 264.2, 258.1, 85.2, 352.0, 0.391, 3.7497, 0.973, 78.0),
    "Q5_1": (6.55, 105.0, 231.8, 226.7, 97.4, 301.0, 0.455, 3.7519, 0.968, 94.0),
    "Q4_0": (5.37, 86.1, 212.6, 207.8, 118.3, 398.0, 0.344, 3.8203, 0.861, 111.0),
    "MXFP4": (5.18, 83.0, 209.7, 204.7, 101.6, 288.0, 0.476, 4.0011, 0.778, 115.0),
}


def measured(name: str) -> Measured:
    _bits, _file, memory, _predicted, decode, prefill, ttft, nll, agreement, _guess = FIGURES[name]
    return Measured(
        load_s=0.62,
        ttft_s=Spread((ttft, ttft * 1.02, ttft * 0.99)),
        prefill_tok_s=Spread((prefill, prefill * 0.98, prefill * 1.01)),
        decode_tok_s=Spread((decode, decode * 1.015, decode * 0.985)),
        engine_prefill_tok_s=Spread((prefill * 1.02, prefill, prefill * 1.03)),
        engine_decode_tok_s=Spread((decode * 1.01, decode * 1.025, decode * 0.995)),
        cached_tokens=0,
        memory_bytes=int(memory * MIB),
        baseline_bytes=int(72.4 * MIB),
        nll=nll,
        agreement=agreement,
        scored_tokens=512,
    )


def expected(name: str) -> Expected:
    _bits, file, _memory, predicted, *_rest, guess = FIGURES[name]
    parts = {"weights": int(file * MIB), "kv_cache": 47_185_920, "compute": int(4.8 * MIB), "overhead": int(72 * MIB)}
    return Expected(
        memory_bytes=int(predicted * MIB),
        memory_parts=parts,
        memory_error_band=0.05,
        memory_basis="weights and cache from the header, buffers by formula",
        decode_tok_s=guess,
        decode_low=guess * 0.8,
        decode_high=guess * 1.2,
        decode_basis="measured memory bandwidth over bytes read per token",
    )


def run(name: str) -> RunRecord:
    bits, file, *_rest = FIGURES[name]
    order = list(FIGURES).index(name)
    digest = f"{order + 1:x}" * 64
    return RunRecord(
        id=f"20261123_0415{order:02d}_k3f{order}",
        experiment="20261123_041500_a1b2",
        variant=name.lower(),
        reference=name == "Q4_1",
        status="finished",
        started=f"2026-11-23T04:15:{10 + order}.123456+00:00",
        ended=f"2026-11-23T04:15:{20 + order}.654321+00:00",
        model_ref=f"smollm2-135m-instruct:{name.lower()}",
        model_title="SmolLM2 135M Instruct",
        model_sha256=(digest,),
        model_bytes=int(file * MIB),
        parameters=PARAMETERS,
        bits_per_weight=bits,
        quantization=name,
        engine="llamacpp",
        engine_version="xllamacpp 2026.10.1 (llama.cpp b7122)",
        options={"context": 2048, "threads": 2},
        seed=42,
        expected=expected(name),
        measured=measured(name),
    )


def failed(name: str, problem: str = "The engine's process died with signal 9.") -> RunRecord:
    return replace(run(name), status="failed", measured=None, problem=problem)


def runs() -> tuple[RunRecord, ...]:
    return tuple(run(name) for name in FIGURES)


def experiment() -> ExperimentRecord:
    return ExperimentRecord(
        id="20261123_041500_a1b2",
        kind="quantization",
        title="What quantization costs and saves",
        question="What do I gain and lose in quality, memory and speed when I quantize it differently?",
        author="Ada",
        status="finished",
        started="2026-11-23T04:15:00+00:00",
        ended="2026-11-23T04:16:21+00:00",
        spec_file="experiment.yaml",
        spec_sha256="ab" * 32,
        tags=("quantization", "smollm2"),
        provenance=Provenance(
            ultralab="0.1.0",
            python="3.11.2",
            platform="Linux-6.1.0-x86_64-with-glibc2.36",
            machine={
                "chip": "AMD EPYC 7B13",
                "performance_cores": 2,
                "efficiency_cores": 0,
                "memory_bytes": 8_257_536_000,
                "bandwidth_bytes_per_second": 21_400_000_000.0,
                "os": "Debian GNU/Linux 12",
            },
            git_commit="0123456789abcdef0123456789abcdef01234567",
            git_dirty=True,
            packages=("gguf==0.19.0", "matplotlib==3.11.2", "xllamacpp==2026.10.1"),
        ),
        runs=tuple(record.id for record in runs()),
    )
