"""The model library: sources, formats, downloads, the catalog, quantization. Importing it loads nothing heavy."""

from ultralab.models.checks import doctor_checks
from ultralab.models.library import (
    Library,
    add_file,
    find,
    model_path,
    problems,
    rebuild,
    records,
    remove,
    verify,
)
from ultralab.models.pull import pull
from ultralab.models.quantize import QUANTIZATIONS, quantize
from ultralab.models.types import Derivation, ModelFile, ModelRecord

__all__ = [
    "QUANTIZATIONS",
    "Derivation",
    "Library",
    "ModelFile",
    "ModelRecord",
    "add_file",
    "doctor_checks",
    "find",
    "model_path",
    "problems",
    "pull",
    "quantize",
    "rebuild",
    "records",
    "remove",
    "verify",
]
