"""The model library: sources, formats, downloads, the catalog, quantization. Importing it loads nothing heavy."""

from ultralab.models.checks import doctor_checks
from ultralab.models.conversion.base import Options as ConversionOptions
from ultralab.models.conversion.convert import TARGETS, conversion_memory, convert, converted_before
from ultralab.models.conversion.lineage import Lineage, can_remake, lineage
from ultralab.models.conversion.quantize import (
    EXTERNAL_QUANTIZATIONS,
    QUANTIZATIONS,
    made_before,
    quantization_memory,
    quantize,
)
from ultralab.models.conversion.tools import available_tools
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
from ultralab.models.pulling.pull import pull
from ultralab.models.types import Derivation, ModelFile, ModelRecord

__all__ = [
    "EXTERNAL_QUANTIZATIONS",
    "QUANTIZATIONS",
    "TARGETS",
    "ConversionOptions",
    "Derivation",
    "Library",
    "Lineage",
    "ModelFile",
    "ModelRecord",
    "add",
    "available_tools",
    "can_remake",
    "conversion_memory",
    "convert",
    "converted_before",
    "doctor_checks",
    "find",
    "lineage",
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
