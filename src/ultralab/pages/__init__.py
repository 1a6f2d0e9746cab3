"""Generated documents: fenced parts are rewritten, the owner's text around them is kept byte for byte."""

from ultralab.pages.fences import fenced, fill, parts_of
from ultralab.pages.metadata import Metadata, metadata_part
from ultralab.pages.templates import cell, inline, prose, render
from ultralab.pages.writing import read_page, write_page

__all__ = [
    "Metadata",
    "cell",
    "fenced",
    "fill",
    "inline",
    "metadata_part",
    "parts_of",
    "prose",
    "read_page",
    "render",
    "write_page",
]
