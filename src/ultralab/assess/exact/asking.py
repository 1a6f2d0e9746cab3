"""From a model's headers to llama.cpp's answer: the question checked, the files without weights made, somebody asked."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ultralab.assess.exact.answers import ExactAnswer, finer_cache, finer_compute, finer_weights, read_report
from ultralab.assess.exact.embedded import Said, ask_embedded, is_installed, total_context
from ultralab.assess.exact.fit_program import PROGRAM, ask_program, find_program
from ultralab.assess.exact.folder import own_folder
from ultralab.assess.exact.sparse import write_sparse
from ultralab.kernel.errors import RequestError, ToolFailed, Unsupported
from ultralab.kernel.language import _
from ultralab.models.formats.base import Bundle
from ultralab.planner.elements import element_bytes
from ultralab.planner.types import Demand
from ultralab.system import clock

_UNQUANTIZED: Final = frozenset({"f32", "f16", "bf16"})
_MOST: Final = 2**32 - 1
"""llama.cpp counts cells and tokens in uint32 (``llama.h``)."""


def ask(bundle: Bundle, demand: Demand, program: str = "") -> ExactAnswer:
    """See :func:`ultralab.assess.exact.ask`."""
    begun = clock.monotonic()
    _require_askable(demand)
    with own_folder() as folder:
        written = write_sparse(bundle, folder)
        try:
            said = _asked(written.path, demand, program)
        except Unsupported as error:
            if "status" not in error.data or not written.is_shortened:
                raise
            written = write_sparse(bundle, folder, vocabulary=True)  # an architecture may want it
            said = _asked(written.path, demand, program)
    shares = read_report(said.printed)
    if shares is None:
        raise ToolFailed(
            _("{engine} gave no report that can be read.").format(engine=said.engine),
            hint=_("Leave out --exact for an estimate."),
            program=said.engine,
        )
    return ExactAnswer(
        weights=finer_weights(written.tensors, shares),
        kv_cache=finer_cache(said.log, shares),
        compute=finer_compute(said.log, shares),
        engine=said.engine,
        seconds=clock.monotonic() - begun,
        devices=shares,
        outputs=said.outputs,
    )


def _asked(path: Path, demand: Demand, program: str) -> Said:
    found = find_program(program)
    if program:
        if found is None:
            raise Unsupported(
                _("There is no program {program}.").format(program=program),
                hint=_("Install llama.cpp: brew install llama.cpp, or name the path of its {name}.").format(
                    name=PROGRAM
                ),
                program=program,
            )
        return ask_program(found, path, demand)
    if is_installed():
        try:
            return ask_embedded(path, demand)
        except Unsupported as error:
            if found is None or "version" not in error.data:
                raise
    if found is None:
        raise Unsupported(
            _("There is no llama.cpp here that could be asked."),
            hint=_("Install it: pip install xllamacpp, or brew install llama.cpp for its {name}.").format(name=PROGRAM),
        )
    return ask_program(found, path, demand)


def _require_askable(demand: Demand) -> None:
    """Raise for what llama.cpp would refuse, or cut without a word."""
    element_bytes(demand.key_type)
    element_bytes(demand.value_type)
    if min(demand.context, demand.sequences, demand.ubatch) < 1 or max(total_context(demand), demand.ubatch) > _MOST:
        raise RequestError(
            _("{tokens} tokens in {count} sequences cannot be asked for.").format(
                tokens=demand.context, count=demand.sequences
            ),
            hint=_("llama.cpp counts from 1 to {most} tokens in all.").format(most=_MOST),
        )
    if not demand.flash and demand.value_type not in _UNQUANTIZED:
        raise Unsupported(
            _("llama.cpp keeps values as {type} only with flash attention.").format(type=demand.value_type),
            hint=_("Switch flash attention on, or keep values as f16."),
            value_type=demand.value_type,
        )
