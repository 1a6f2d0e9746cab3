"""Which architectures an installed transformers generates text with, read from its source: importing it costs seconds."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

_TABLE: Final = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
_PLACE: Final = Path("models", "auto", "modeling_auto.py")


def causal_models(transformers: Path | None) -> frozenset[str]:
    """The ``model_type`` of each architecture with a causal language model; empty where the table was not found.

    ``transformers``: the package's folder. Seen with transformers 5.23, where the table is ``OrderedDict([(type, class)])``.
    """
    if transformers is None:
        return frozenset()
    try:
        tree = ast.parse((transformers / _PLACE).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return frozenset()
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(args=[ast.List(elts=pairs)])) if name == _TABLE:
                return frozenset(found for pair in pairs if (found := _first_word(pair)))
    return frozenset()


def _first_word(pair: ast.expr) -> str:
    match pair:
        case ast.Tuple(elts=[ast.Constant(value=str(word)), *_rest]):
            return word
    return ""
