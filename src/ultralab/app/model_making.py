"""Models made from models, each with a reservation of what making it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ultralab.app.lab import Lab
from ultralab.app.models import write_pages
from ultralab.kernel.language import _
from ultralab.kernel.progress import Progress
from ultralab.models.store.usage import in_use

if TYPE_CHECKING:
    from ultralab.models import ConversionOptions, ModelRecord


def quantize_memory(lab: Lab, ref: str, target: str) -> int:
    """Bytes that quantizing takes at its peak. Raises what quantizing raises at once."""
    from ultralab import models

    record = models.find(lab.library, ref)
    if models.made_before(lab.library, record, target) is not None or record.format != "gguf":
        return 0
    return models.quantization_memory(models.model_path(lab.library, record), target)


def quantize(
    lab: Lab, ref: str, target: str, progress: Progress, *, imatrix: Path | None = None, program: Path | None = None
) -> ModelRecord:
    """Make a model in another quantization. Raises what ``models.quantize`` raises, OutOfMemory."""
    from ultralab import memory, models

    parent = models.find(lab.library, ref)
    made = models.made_before(lab.library, parent, target, imatrix)
    if made is None:
        amount = quantize_memory(lab, ref, target)
        purpose = _("Making {target} of {title}").format(target=target, title=parent.title)
        with memory.held(lab.ledger, amount, purpose), in_use(lab.library, parent):
            made = models.quantize(
                lab.library,
                parent,
                target,
                lab.formats,
                progress,
                added_by=lab.author,
                imatrix=imatrix,
                program=program,
            )
        write_pages(lab)
    return made


@dataclass(frozen=True)
class Asked:
    """What may be asked of a conversion; 0, empty and None: the target's own default (``ConversionOptions``)."""

    bits: int = 0
    group_size: int = 0
    mode: str = ""
    dtype: str = ""
    llama_cpp: Path | None = None


def convert_memory(lab: Lab, ref: str, to: str, asked: Asked) -> int:
    """Bytes that converting takes at its peak. Raises what converting raises at once."""
    from ultralab import models

    record, options = models.find(lab.library, ref), _options(asked)
    if models.converted_before(lab.library, record, to, options) is not None:
        return 0
    return models.conversion_memory(record, to, options)


def convert(
    lab: Lab,
    ref: str,
    to: str,
    asked: Asked,
    progress: Progress,
    *,
    judged: bool = True,
    accept: bool = False,
) -> ModelRecord:
    """Make a model in another format. Raises what ``models.convert`` raises, OutOfMemory."""
    from ultralab import memory, models

    parent, options = models.find(lab.library, ref), _options(asked)
    made = models.converted_before(lab.library, parent, to, options)
    if made is None:
        amount = models.conversion_memory(parent, to, options, judged=judged)
        purpose = _("Making {target} of {title}").format(target=to, title=parent.title)
        with memory.held(lab.ledger, amount, purpose), in_use(lab.library, parent):
            made = models.convert(
                lab.library,
                parent,
                to,
                lab.formats,
                options,
                progress,
                added_by=lab.author,
                judged=judged,
                accept=accept,
            )
        write_pages(lab)
    return made


def _options(asked: Asked) -> ConversionOptions:
    from ultralab.models import ConversionOptions

    return ConversionOptions(asked.bits, asked.group_size, asked.mode, asked.dtype, asked.llama_cpp)
