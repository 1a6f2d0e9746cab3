"""A GGUF model in another quantization, each a recorded step.

The legacy types are made here, by the ``gguf`` package's numpy code after our reader accepted the file; K and I types by
llama.cpp's ``llama-quantize``, and what it made is checked by our reader.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import FileDamaged, RequestError, UnknownChoice, Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.progress import SILENT, Progress
from ultralab.models.bundles import from_path
from ultralab.models.conversion import llama_quantize
from ultralab.models.conversion.derived import already_made, variant_for, work_key
from ultralab.models.conversion.gguf_plan import plan
from ultralab.models.conversion.staging import staged_files, staging
from ultralab.models.conversion.tool import run_tool
from ultralab.models.formats.base import Format
from ultralab.models.formats.gguf_reader import GgufHeader, read_gguf
from ultralab.models.formats.gguf_types import TENSOR_TYPE_NAMED
from ultralab.models.library import Library, add, model_path
from ultralab.models.types import Derivation, ModelRecord, Staged
from ultralab.system import files, locks

QUANTIZATIONS: Final = ("Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "MXFP4", "TQ2_0", "TQ1_0")
"""The types that can be made here, from most to fewest bits per weight."""

EXTERNAL_QUANTIZATIONS: Final = tuple(llama_quantize.FILE_TYPES)
"""The types that need ``llama-quantize``, from most to fewest bits per weight."""

RULES: Final = 1
"""Raised when the same input would give other bytes: a derivation by older rules is made again."""

TOOL: Final = "ultralab + gguf"
_BASE_MEMORY: Final = 512 * 1024 * 1024


@dataclass(frozen=True)
class _Work:
    """One quantization: what from, what to, by what, where to say so. ``imatrix`` is absolute."""

    library: Library
    parent: ModelRecord
    derived: Derivation
    imatrix: Path | None
    program: Path | None
    progress: Progress

    @property
    def target(self) -> str:
        return self.derived["quantization"]

    @property
    def external(self) -> bool:
        return self.derived["tool"] == llama_quantize.PROGRAM


def quantize(
    library: Library,
    parent: ModelRecord,
    target: str,
    formats: Sequence[Format],
    progress: Progress = SILENT,
    *,
    added_by: str = "",
    imatrix: Path | None = None,
    program: Path | None = None,
) -> ModelRecord:
    """Make ``parent`` in the type ``target`` (of :data:`QUANTIZATIONS` or :data:`EXTERNAL_QUANTIZATIONS`) and add it.

    Of the types made here, only the weight matrices of the blocks change: embedding and output matrix, norms and
    routers stay as they are, so that variants differ in nothing else; a model that has nothing to change is returned
    itself. Deterministic: the same input gives the same bytes. ``imatrix`` is an importance matrix for
    ``llama-quantize``; ``program`` names that program or its folder where it is not on PATH. What the library already
    has is returned at once; interrupted, nothing stays. Raises UnknownChoice, Unsupported, RequestError (no importance
    matrix), ToolFailed, FileDamaged, NotFound, DiskFull, Busy.
    """
    derived = _derivation(parent, known_target(target), imatrix)
    work = _Work(library, parent, derived, imatrix, program, progress)
    key = work_key(derived, work.target.lower())
    with locks.exclusive(library.lock(key), _("making {type} of {ref}").format(type=work.target, ref=parent.ref)):
        if here := already_made(library, derived, any_version=work.external):
            progress.say(_("{ref} is already in the library.").format(ref=here.ref))
            return here
        form = _gguf(formats, parent)
        # Not more than the source, unless that is smaller than what is asked for: then the tool makes it larger.
        size = parent.size if work.external else TENSOR_TYPE_NAMED[work.target].size_of(parent.parameters)
        with staging(library, key, size) as folder:
            made = _make_outside(work, folder) if work.external else _make_here(work, folder)
            return parent if made is None else _add(work, made, form, added_by)


def made_before(library: Library, parent: ModelRecord, target: str, imatrix: Path | None = None) -> ModelRecord | None:
    """What :func:`quantize` would give back at once, None where it has work to do. Raises Unsupported, UnknownChoice."""
    derived = _derivation(parent, known_target(target), imatrix)
    return already_made(library, derived, any_version=derived["tool"] == llama_quantize.PROGRAM)


def quantization_memory(path: Path, target: str = "") -> int:
    """About what :func:`quantize` holds at its peak for this GGUF file, bytes. Raises FileDamaged, Unsupported.

    For the types made here it follows from how the writer works (see ``gguf_writer.peak_memory``): some rows of the
    largest tensor at a time, on a few threads, so it hardly grows with the model. ``llama-quantize`` maps the file and
    holds the largest tensor as float32 beside what it reads and writes (llama.cpp ``src/llama-quant.cpp``).
    """
    raw = read_gguf(path)
    if target and known_target(target) in llama_quantize.FILE_TYPES:
        largest = max((tensor.elements for tensor in raw.tensors), default=0)
        return _BASE_MEMORY + 3 * 4 * largest
    from ultralab.models.conversion.gguf_writer import peak_memory  # numpy and gguf: half a second

    return peak_memory(raw)


def known_target(target: str) -> str:
    """The type's own name. Raises UnknownChoice, with the nearest ones."""
    name = target.strip().upper()
    name = llama_quantize.ALIASES.get(name, name)
    if name in QUANTIZATIONS or name in llama_quantize.FILE_TYPES:
        return name
    raise UnknownChoice.among(_("quantization"), target, (*QUANTIZATIONS, *EXTERNAL_QUANTIZATIONS))


def _derivation(parent: ModelRecord, target: str, imatrix: Path | None) -> Derivation:
    derived = Derivation(
        parent=parent.ref,
        parent_sha256=parent.sha256,
        tool=TOOL,
        tool_version=f"rules {RULES}, gguf {importlib.metadata.version('gguf')}",
        quantization=target,
    )
    if target in llama_quantize.FILE_TYPES:
        derived["tool"], derived["tool_version"] = llama_quantize.PROGRAM, ""  # it says so when it runs
        if imatrix is not None:
            derived["options"] = f"--imatrix {files.sha256_of(imatrix)}"
    elif imatrix is not None:
        raise RequestError(
            _("{type} is made without an importance matrix.").format(type=target),
            hint=_("Choose one of: {known}.").format(known=", ".join(EXTERNAL_QUANTIZATIONS)),
        )
    return derived


def _gguf(formats: Sequence[Format], parent: ModelRecord) -> Format:
    form = next((form for form in formats if form.name == parent.format == "gguf"), None)
    if form is None:
        raise Unsupported(
            _("{ref} is in the format {format}; only GGUF models can be quantized.").format(
                ref=parent.ref, format=parent.format
            ),
            hint=_("Convert it to GGUF first: ultralab models convert {ref} --to gguf").format(ref=parent.ref),
            ref=parent.ref,
        )
    return form


def _make_here(work: _Work, folder: Path) -> Staged | None:
    """The staged file; None where there is nothing to change."""
    raw = read_gguf(model_path(work.library, work.parent))
    kind = TENSOR_TYPE_NAMED[work.target]
    plans = plan(raw, kind)
    if not any(one.changes for one in plans):
        work.progress.say(_("{ref} is in {type} already.").format(ref=work.parent.ref, type=kind.name))
        return None
    from ultralab.models.conversion.gguf_writer import requantize  # numpy and gguf: half a second

    to = folder / "made.gguf"
    size, sha256 = requantize(raw, plans, kind, to, work.progress)
    return Staged(to, to.name, size, sha256)


def _make_outside(work: _Work, folder: Path) -> Staged | None:
    if work.target in llama_quantize.NEEDS_IMATRIX and work.imatrix is None:
        raise RequestError(
            _("{type} needs an importance matrix.").format(type=work.target),
            hint=_("Make one with llama.cpp's llama-imatrix and give it: --imatrix FILE"),
            given=work.target,
        )
    program = llama_quantize.find_program(work.program)
    source = model_path(work.library, work.parent)
    raw = read_gguf(source)
    if raw.values.get("general.file_type") == llama_quantize.FILE_TYPES[work.target]:
        work.progress.say(_("{ref} is in {type} already.").format(ref=work.parent.ref, type=work.target))
        return None
    to = folder / "made.gguf"
    argv = llama_quantize.command(
        program, source, to, work.target, imatrix=work.imatrix, quantized=work.parent.quantization
    )
    build = _run(work, argv, folder)
    work.derived["tool_version"] = build or "unknown"
    _require_made(read_gguf(to), raw, work.target)
    return staged_files(folder, [to.name], work.progress)[0]


def _run(work: _Work, argv: Sequence[str], folder: Path) -> str:
    """Run the tool; its build as it says it."""
    builds = [""]
    with work.progress.step(_("Quantizing to {type}").format(type=work.target), 1.0) as step:
        share = [0.0]

        def hear(line: str) -> None:
            builds[0] = builds[0] or llama_quantize.build_of(line)
            if counted := llama_quantize.progress_of(line):
                now = counted[0] / max(1, counted[1])
                step.advance(max(0.0, now - share[0]))
                share[0] = max(share[0], now)

        run_tool(argv, log=folder / "tool.log", name=llama_quantize.PROGRAM, hear=hear)
    return builds[0]


def _require_made(made: GgufHeader, source: GgufHeader, target: str) -> None:
    """The made file has the source's tensors in their shapes, and says that it is what was asked for."""
    shapes = {tensor.name: tensor.shape for tensor in made.tensors}
    lost = [tensor.name for tensor in source.tensors if shapes.get(tensor.name) != tensor.shape]
    says = made.values.get("general.file_type")
    if lost or says != llama_quantize.FILE_TYPES[target]:
        raise FileDamaged(
            _("{program} did not make what was asked for: {problem}").format(
                program=llama_quantize.PROGRAM,
                problem=_("{name} is missing or has another shape").format(name=lost[0])
                if lost
                else _("its type is {number} instead of {wanted}").format(
                    number=says, wanted=llama_quantize.FILE_TYPES[target]
                ),
            ),
            hint=_("Nothing was added. Try a newer llama.cpp."),
            path=str(made.path),
        )


def _add(work: _Work, made: Staged, form: Format, added_by: str) -> ModelRecord:
    parent = work.parent
    variant, replace = variant_for(work.library, parent, work.derived, work.target.lower())
    file = Staged(made.path, f"{parent.name}.{variant.upper()}.gguf", made.size, made.sha256)
    return add(
        work.library,
        [file],
        form.read_header(from_path(made.path)),
        source=f"derived:{parent.ref}",
        added_by=added_by,
        name=parent.name,
        variant=variant,
        title=parent.title,
        licence=parent.licence,
        source_url=parent.source_url,
        derived=work.derived,
        family=parent.family,
        base_models=parent.base_models,
        replace=replace,
    )
