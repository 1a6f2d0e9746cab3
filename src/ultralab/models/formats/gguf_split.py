"""A GGUF model in several files: ``name-00001-of-00003.gguf`` and so on, as llama.cpp's ``gguf-split`` writes them.

Each part holds ``split.no`` (from 0), ``split.count`` and ``split.tensors.count`` (of all parts); the first holds the
model's own keys, the tensors are spread (llama.cpp ``tools/gguf-split``, ``src/llama-model-loader.cpp``).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from ultralab.kernel.errors import FileDamaged
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle, Item, too_many
from ultralab.models.formats.gguf_reader import GgufHeader, TensorInfo, read_gguf

PART: Final = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE | re.DOTALL)
_NUMBER, _COUNT, _TENSORS = "split.no", "split.count", "split.tensors.count"
_OTHER_WEIGHTS: Final = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")


def parts_of(bundle: Bundle) -> tuple[Item, ...]:
    """The one GGUF model's files in a bundle, in order; none where there are several models, or weights of another kind.

    Only names are looked at, but for a bundle of one file, which may be called anything.
    """
    if len(bundle.items) == 1:
        return bundle.items
    found = bundle.ending(".gguf")
    matches = [PART.fullmatch(item.name) for item in found]
    wholes = {(match[1], match[3]) if match else None for match in matches}
    if len(wholes) != 1 or bundle.ending(*_OTHER_WEIGHTS):
        return ()
    return found if None not in wholes or len(found) == 1 else ()


def read_parts(bundle: Bundle, parts: tuple[Item, ...]) -> GgufHeader:
    """The header of the whole model: the first part's keys, every part's tensors.

    Raises FileDamaged (a part is missing, is not what its name says, has a tensor of another part), and what reading one
    header raises.
    """
    named = PART.fullmatch(parts[0].name)
    if named is not None and int(named[3]) > 1:
        _require_all(parts, named[1], int(named[3]))
    headers = [read_gguf(part, bundle.limits, weights=not bundle.headers_only) for part in parts]
    count = headers[0].values.get(_COUNT, 1)
    if count != len(parts) or (named is not None and int(named[3]) != len(parts)):
        raise _missing(parts[0], count, headers[0])
    if len(parts) == 1:
        return replace(headers[0], values={k: v for k, v in headers[0].values.items() if not k.startswith("split.")})
    for number, header in enumerate(headers):
        _require_number(header, number, len(parts))
    return _merged(headers, bundle)


def _require_all(parts: tuple[Item, ...], stem: str, count: int) -> None:
    there = {match[2] for part in parts if (match := PART.fullmatch(part.name))}
    if "00000" in there or any(int(number) > count for number in there):
        raise _damaged(parts[0].where, _("a part is numbered beyond the {count} parts").format(count=count))
    for number in range(1, count + 1):
        if f"{number:05d}" not in there:
            name = f"{stem}-{number:05d}-of-{count:05d}.gguf"
            raise _damaged(parts[0].where, _("the part {name} is missing").format(name=printable(name)))


def _missing(part: Item, count: object, header: GgufHeader) -> FileDamaged:
    number = header.values.get(_NUMBER, 0)
    shown = number + 1 if isinstance(number, int) else number
    return _damaged(
        part.where,
        _("it says that it is part {number} of {count}; the other parts are not beside it under its name").format(
            number=shown, count=count
        ),
    )


def _require_number(header: GgufHeader, number: int, count: int) -> None:
    if header.values.get(_NUMBER) != number or header.values.get(_COUNT) != count:
        raise _damaged(
            str(header.path),
            _("it says that it is part {number} of {count}, its name says part {named} of {parts}").format(
                number=_shown(header.values.get(_NUMBER)),
                count=printable(str(header.values.get(_COUNT)), 20),
                named=number + 1,
                parts=count,
            ),
        )


def _shown(number: object) -> str:
    return str(number + 1) if isinstance(number, int) else printable(str(number), 20)


def _merged(headers: list[GgufHeader], bundle: Bundle) -> GgufHeader:
    first = headers[0]
    tensors: list[TensorInfo] = []
    seen: set[str] = set()
    for header in headers:
        for tensor in header.tensors:
            if tensor.name in seen:
                raise _damaged(
                    str(header.path),
                    _("the tensor {name!r} is in another part too").format(name=printable(tensor.name)),
                )
            seen.add(tensor.name)
        tensors += header.tensors
        if len(tensors) > bundle.limits.tensors:
            raise too_many(bundle.where, bundle.limits.tensors)
    promised = first.values.get(_TENSORS)
    if promised != len(tensors):
        raise _damaged(
            str(first.path),
            _("it promises {promised} tensors, and all parts together hold {count}").format(
                promised=printable(str(promised), 20), count=len(tensors)
            ),
        )
    values = {key: value for key, value in first.values.items() if not key.startswith("split.")}
    size = sum(header.file_size for header in headers)
    return replace(first, values=values, tensors=tuple(tensors), file_size=size)


def _damaged(where: str, what: str) -> FileDamaged:
    return FileDamaged(
        _("{path} is damaged: {what}.").format(path=where, what=what),
        hint=_("Get every part of the model, and keep them in one folder under their own names."),
        path=where,
        what=what,
    )
