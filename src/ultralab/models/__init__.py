"""The model library: sources, formats, downloads, the catalog, quantization. Importing it loads nothing heavy."""

from ultralab.models.checks import doctor_checks
from ultralab.models.library import (
    Library,
    add,
    find,
    model_path,
    problems,
    rebuild,
    records,
    remove,
    verify,
)
from ultralab.models.pull import pull
from ultralab.models.quantize import QUANTIZATIONS, made_before, quantization_memory, quantize
from ultralab.models.types import Derivation, ModelFile, ModelRecord

__all__ = [
    "QUANTIZATIONS",
    "Derivation",
    "Library",
    "ModelFile",
    "ModelRecord",
    "add",
    "doctor_checks",
    "find",
    "made_before",
    "model_path",
    "problems",
    "pull",
    "quantization_memory",
    "quantize",
    "rebuild",
    "records",
    "remove",
    "verify",
]
