"""``ultralab models quantize`` and ``convert``: models made from models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.detach import Ahead, detachable
from ultralab.cli.frame import Command, Request
from ultralab.cli.home import opened
from ultralab.cli.models.names import complete_ref
from ultralab.kernel.language import _

if TYPE_CHECKING:
    from ultralab.app import Lab
    from ultralab.app.model_making import Asked


def _ahead_of_quantize(lab: Lab, *, model: str, quantization: str, **_given: object) -> Ahead:
    from ultralab.app import model_making

    memory = model_making.quantize_memory(lab, model, quantization)
    return Ahead(f"quantize {model} {quantization}", memory=memory, gpu="none", resumable=True)


@click.command(
    "quantize",
    cls=Command,
    help=_(
        "Make MODEL in the type QUANTIZATION (Q8_0, Q4_0, MXFP4, …; K and I types where llama-quantize is installed). "
        "What it was made from, by what and how is recorded."
    ),
    examples=(
        "ultralab models quantize smollm2-135m-instruct:q4_1 Q8_0",
        "ultralab models quantize qwen3-8b:f16 Q4_K_M --imatrix calibration.gguf",
    ),
)
@click.argument("model", shell_complete=complete_ref)
@click.argument("quantization")
@click.option(
    "--imatrix", type=click.Path(path_type=Path), metavar="FILE", help=_("An importance matrix, for K and I types.")
)
@click.option(
    "--llama-cpp", type=click.Path(path_type=Path), metavar="PATH", help=_("The program llama-quantize, or its folder.")
)
@detachable("quantize", _ahead_of_quantize)
@click.pass_obj
def quantize(request: Request, model: str, quantization: str, imatrix: Path | None, llama_cpp: Path | None) -> None:
    """Quantize a model."""
    from ultralab.app import model_making
    from ultralab.cli.models import views
    from ultralab.cli.output import pairs, show
    from ultralab.cli.progress import progress_for

    record = model_making.quantize(
        opened(request), model, quantization, progress_for(request), imatrix=imatrix, program=llama_cpp
    )
    show(request, views.to_data(record), lambda console: console.print(pairs(views.facts(record))))


def _ahead_of_convert(lab: Lab, *, model: str, to: str, **given: Any) -> Ahead:
    from ultralab.app import model_making

    memory = model_making.convert_memory(lab, model, to, _asked(given))
    return Ahead(f"convert {model} {to}", memory=memory, resumable=True)


def _asked(given: Mapping[str, Any]) -> Asked:
    from ultralab.app.model_making import Asked

    return Asked(
        bits=given["bits"] or 0,
        group_size=int(given["group_size"] or 0),
        mode=given["mode"] or "",
        dtype=(given["dtype"] or "").upper(),
        llama_cpp=given["llama_cpp"],
    )


@click.command(
    "convert",
    cls=Command,
    help=_(
        "Make MODEL in another format: mlx (from SafeTensors), gguf (from SafeTensors, with llama.cpp's converter), "
        "safetensors (from GPTQ, AWQ or a plain GGUF). The result is judged by the tokens that it says, compared with its source's."
    ),
    examples=(
        "ultralab models convert qwen3-8b:bf16 --to mlx --bits 4",
        "ultralab models convert llama-3-8b:gptq-4bit --to safetensors",
        "ultralab models convert qwen3-8b:bf16 --to gguf --llama-cpp ~/llama.cpp",
    ),
)
@click.argument("model", shell_complete=complete_ref)
@click.option("--to", required=True, type=click.Choice(["mlx", "gguf", "safetensors"]), help=_("The format to make."))
@click.option("--bits", type=click.IntRange(2, 8), help=_("Bits per weight, for mlx; default: as it is."))
@click.option(
    "--group-size", type=click.Choice(["16", "32", "64", "128"]), help=_("Weights that share a scale, for mlx.")
)
@click.option("--mode", type=click.Choice(["affine", "mxfp4", "nvfp4", "mxfp8"]), help=_("How mlx quantizes."))
@click.option(
    "--dtype",
    type=click.Choice(["f16", "bf16", "f32"]),
    help=_("The type of what is not quantized; default: as it is."),
)
@click.option(
    "--llama-cpp", type=click.Path(path_type=Path), metavar="FOLDER", help=_("llama.cpp's sources with its converter.")
)
@click.option("--no-judge", is_flag=True, help=_("Do not compare tokens: the record says so."))
@click.option("--keep-anyway", is_flag=True, help=_("Keep the result even if it says other tokens than its source."))
@detachable("convert", _ahead_of_convert)
@click.pass_obj
def convert(request: Request, /, model: str, to: str, no_judge: bool, keep_anyway: bool, **given: Any) -> None:
    """Convert a model."""
    from ultralab.app import model_making
    from ultralab.cli.models import views
    from ultralab.cli.output import pairs, show
    from ultralab.cli.progress import progress_for

    record = model_making.convert(
        opened(request),
        model,
        to,
        _asked(given),
        progress_for(request),
        judged=not no_judge,
        accept=keep_anyway,
    )
    show(request, views.to_data(record), lambda console: console.print(pairs(views.facts(record))))
