"""PyTorch's pickled weights: looked at, never loaded. A verdict is a list of reasons for distrust, never "safe"."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.models.formats.base import Bundle, ModelHeader
from ultralab.models.formats.belongings import belongings, foreign_code
from ultralab.models.formats.bounded_json import read_object
from ultralab.models.formats.config import Config, read_config
from ultralab.models.formats.pickle_allowed import ITEM_BYTES
from ultralab.models.formats.pickle_scan import MOST_OPCODES
from ultralab.models.formats.pytorch_file import Contents, looks_pickled, read_contents
from ultralab.models.formats.pytorch_files import candidates, indexes, weights
from ultralab.models.formats.shaped import model_shape
from ultralab.models.formats.tokenizers import chat_template, tokenizer_kind

_MOST_FINDINGS: Final = 100
_MOST_OPCODES_TOGETHER: Final = 4 * MOST_OPCODES


class PyTorch:
    """``torch.save`` files: ``.bin``, ``.pt``, ``.pth``, ``.ckpt``; one, several, or shards with an index."""

    name = "pytorch"

    def recognises(self, bundle: Bundle) -> bool:
        """Whether there are pickles and no weights in a format that holds data alone."""
        if bundle.ending(".safetensors", ".gguf"):
            return False
        try:
            return any(looks_pickled(item) for item in candidates(bundle))
        except Unsupported:  # more files than are read: still nothing else
            return True

    def read_header(self, bundle: Bundle) -> ModelHeader:
        """Follow every pickle. Raises as :class:`ultralab.models.formats.base.Format` says."""
        pickled = tuple(item for item in candidates(bundle) if looks_pickled(item))
        chosen = weights(bundle, pickled)
        config = read_config(bundle)
        contents: dict[str, Contents] = {}
        said = [_("A pickle can run code when it is loaded; it was not loaded here.")]
        left = _MOST_OPCODES_TOGETHER
        for item in {item.name: item for item in (*chosen, *pickled)}.values():
            contents[item.name] = read = read_contents(item, min(left, MOST_OPCODES))
            left -= read.opcodes
            said += read.findings
        settings = read_object(bundle, "tokenizer_config.json")
        said += foreign_code({"config.json": config.raw, "tokenizer_config.json": settings})
        _require_few_tensors(bundle, contents.values())
        header = _header([contents[item.name] for item in chosen], config)
        return replace(
            header,
            tokenizer=tokenizer_kind(bundle, settings),
            chat_template=chat_template(bundle, settings),
            entry=chosen[0].name if len(bundle.items) == 1 else "",
            files=tuple(sorted({item.name for item in (*chosen, *indexes(bundle))} | {*belongings(bundle)})),
            unsafe=_shortened(said),
        )


FORMAT: Final = PyTorch()


def _require_few_tensors(bundle: Bundle, contents: Iterable[Contents]) -> None:
    count = sum(each.tensors for each in contents)
    if count > bundle.limits.tensors:
        raise Unsupported(
            _("{path} has too many tensors: {count}; the limit is {most}.").format(
                path=bundle.where, count=count, most=bundle.limits.tensors
            ),
            hint=_("Raise the setting {setting} if you trust the file.").format(setting="models.max_tensors"),
            path=bundle.where,
        )


def _shortened(said: Sequence[str]) -> tuple[str, ...]:
    unique = list(dict.fromkeys(said))
    if (more := len(unique) - _MOST_FINDINGS) > 0:
        unique[_MOST_FINDINGS:] = [_("… and {count} more findings.").format(count=more)]
    return tuple(unique)


def _header(contents: Sequence[Contents], config: Config) -> ModelHeader:
    dtype = config.dtype if config.dtype in ITEM_BYTES else ""
    totals: dict[str, int] = {}
    parameters = 0
    for each in contents:
        parameters += each.parameters
        for kind, size in each.bytes_by_type.items():
            known = dtype if kind == "?" and dtype else kind
            totals[known] = totals.get(known, 0) + size
            if kind == "?" and dtype:
                parameters += size // ITEM_BYTES[dtype]
    totals = dict(sorted(totals.items(), key=lambda pair: (-pair[1], pair[0])))
    stored = sum(totals.values())
    main = next(iter(totals), "?")
    return ModelHeader(
        format=FORMAT.name,
        title="",
        licence="",
        quantization=main,
        bits_per_weight=8 * stored / parameters if parameters else 0.0,
        tensor_types=totals,
        shape=model_shape(config, parameters, stored, stored),
        metadata={key: value for key, value in config.raw.items() if isinstance(value, str | int | float)},
        active_parameters=parameters,
        experts=config.experts,
        experts_used=config.experts_used,
        dtype="" if main == "?" else main,
    )
