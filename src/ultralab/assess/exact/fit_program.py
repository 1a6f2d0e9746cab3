"""``llama-fit-params``, an installed llama.cpp's own program, is asked.

Sources: llama.cpp ``tools/fit-params/fit-params.cpp`` and ``common/arg.cpp`` (``--fit-print`` since pull request 22171 of
April 2026; ``--version`` answers on standard error). Its log is on standard error, the report alone on standard output.
The program takes ``--parallel`` and ``--kv-unified`` in some versions only; they are given where they matter, and a
version that does not know them is told, not guessed around.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from ultralab.assess.exact.answers import reason
from ultralab.assess.exact.embedded import SECONDS, Said, refusal, total_context
from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.planner.types import Demand
from ultralab.system import environ, process

PROGRAM: Final = "llama-fit-params"

_VERSION: Final = re.compile(r"version: *(\S[^\n]*)")
_UNKNOWN: Final = re.compile(r"invalid argument: *(\S+)|unknown argument:? *(\S+)")
_SETS_OPTIONS: Final = "LLAMA_ARG_"


def find_program(named: str = "") -> str | None:
    """The path of ``named`` (a path, or a name on PATH), else of ``llama-fit-params`` on PATH; None: not here."""
    return shutil.which(named or PROGRAM)


def ask_program(program: str, path: Path, demand: Demand) -> Said:
    """Ask ``program`` about the file at ``path``.

    Raises Unsupported (it does not say its version, knows no such option, refuses the model), ToolFailed.
    """
    version = _version(program)
    answer = _run((program, *arguments(path, demand)))
    if answer.status != 0:
        if unknown := _UNKNOWN.search(answer.stderr + answer.stdout):
            raise _too_old(program, version, unknown[1] or unknown[2])
        raise refusal(reason(answer.stderr), answer.status)
    return Said(answer.stdout, answer.stderr, f"{Path(program).name} {version}", 0)


def arguments(path: Path, demand: Demand) -> tuple[str, ...]:
    """What the program is given. ``--verbose``: what its log says goes to two decimals."""
    batch = max(2048, demand.ubatch)
    several = () if demand.sequences == 1 else ("--parallel", str(demand.sequences))
    unified = ("--kv-unified",) if several and demand.unified else ()
    return (
        "--model", str(path), "--ctx-size", str(total_context(demand)), "--batch-size", str(batch),
        "--ubatch-size", str(demand.ubatch), "--flash-attn", "on" if demand.flash else "off",
        "--cache-type-k", demand.key_type, "--cache-type-v", demand.value_type, "--no-repack", *several, *unified,
        "--fit-print", "on", "--verbose",
    )  # fmt: skip


def _version(program: str) -> str:
    answer = _run((program, "--version"))
    found = _VERSION.search(answer.stderr) or _VERSION.search(answer.stdout)
    if answer.status != 0 or found is None:
        raise Unsupported(
            _("{program} does not say which version of llama.cpp it is.").format(program=program),
            hint=_("Name llama.cpp's own {program}.").format(program=PROGRAM),
            program=program,
        )
    return printable(found[1].strip(), 80)


def _run(argv: tuple[str, ...]) -> process.Answer:
    """Without the variables that set options behind our back."""
    environment = {
        name: value
        for name, value in environ.for_child({"GGML_NO_BACKTRACE": "1"}).items()
        if not name.startswith(_SETS_OPTIONS)
    }
    return process.run(argv, timeout=SECONDS, check=False, environment=environment)


def _too_old(program: str, version: str, option: str) -> Unsupported:
    return Unsupported(
        _("{program} ({version}) does not know the option {option}.").format(
            program=program, version=version, option=printable(option, 40)
        ),
        hint=_("Take another version of llama.cpp, or ask for one sequence, or leave out --exact."),
        program=program,
        option=option,
    )
