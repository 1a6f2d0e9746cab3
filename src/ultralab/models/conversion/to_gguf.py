"""HF SafeTensors to GGUF, by llama.cpp's own converter, where it is on this machine.

Source of the options: ``convert_hf_to_gguf.py --help``. It needs torch, which is no dependency of ours: it runs with the
interpreter of its own folder's virtual environment, or as the program that it is on PATH.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import UnknownChoice, Unsupported
from ultralab.kernel.language import _
from ultralab.models.conversion.base import Options, Plan, Task
from ultralab.models.conversion.to_mlx import folder_size
from ultralab.models.conversion.tool import run_tool
from ultralab.models.types import ModelRecord
from ultralab.system import files

PROGRAM: Final = "convert_hf_to_gguf.py"
_WIDTHS: Final = {"F16": 2, "BF16": 2, "F32": 4}
_BASE_MEMORY: Final = 2 * 1024**3
_MOST_HELD: Final = 16 * 1024**3


class ToGguf:
    """HF SafeTensors as GGUF, in a floating type; quantize it from there."""

    sources: frozenset[str] = frozenset({"safetensors"})

    def plan(self, record: ModelRecord, options: Options) -> Plan:
        """See ``base.Target``. Memory: the converter holds some tensors at a time; large experts are stacked first."""
        if options.bits or options.group_size or options.mode:
            raise Unsupported(
                _("A conversion to GGUF does not quantize."),
                hint=_("Convert first, then: ultralab models quantize MODEL TYPE"),
            )
        dtype = (options.dtype or record.dtype or "F16").upper()
        if dtype not in _WIDTHS:
            if options.dtype:
                raise UnknownChoice.among(_("type"), options.dtype, _WIDTHS)
            dtype = "F16"
        argv = command(options.llama_cpp)
        size = record.parameters * _WIDTHS[dtype]
        return Plan(
            format="gguf",
            variant=f"gguf-{dtype.lower()}",
            tool=PROGRAM,
            tool_version=f"sha256 {files.sha256_of(Path(argv[-1]))[:16]}",
            options=f"--outtype {dtype.lower()}",
            lossless=dtype in (record.dtype, "F32"),
            size=size,
            memory=_BASE_MEMORY + min(record.size, _MOST_HELD),
        )

    def make(self, task: Task) -> None:
        """See ``base.Target``."""
        to = task.to / f"{task.record.name}.{task.plan.variant.removeprefix('gguf-').upper()}.gguf"
        argv = (*command(task.options.llama_cpp), *task.plan.options.split(), "--outfile", str(to), str(task.source))
        with (
            files.explained(task.to),
            task.progress.step(_("Converting to {target}").format(target="GGUF"), task.plan.size, "bytes") as step,
        ):
            task.to.mkdir()
            written = [0]

            def tick() -> None:
                now = min(task.plan.size, folder_size(task.to))
                step.advance(max(0, now - written[0]))
                written[0] = max(now, written[0])

            hint = _("It needs torch: install its requirements/requirements-convert_hf_to_gguf.txt beside it.")
            run_tool(argv, log=task.scratch / "tool.log", name=PROGRAM, tick=tick, hint=hint)


def command(folder: Path | None) -> tuple[str, ...]:
    """How the converter is run, its own path last: from llama.cpp's folder (or the file itself), else from PATH.

    Raises Unsupported.
    """
    if folder is None:
        found = shutil.which(PROGRAM)
        if found:
            return (found,)
    else:
        script = folder if folder.is_file() else folder / PROGRAM
        if script.is_file():
            own = (script.parent / name / "bin" / "python" for name in (".venv", "venv"))
            return (next((str(path) for path in own if path.is_file()), sys.executable), str(script))
    raise Unsupported(
        _("Models are converted to GGUF by llama.cpp's {program}, which is not here.").format(program=PROGRAM),
        hint=_(
            "Get it: git clone https://github.com/ggml-org/llama.cpp, in that folder: python3 -m venv .venv && "
            ".venv/bin/pip install -r requirements/requirements-convert_hf_to_gguf.txt; then name the folder: --llama-cpp FOLDER"
        ),
        program=PROGRAM,
    )


TARGET = ToGguf()
