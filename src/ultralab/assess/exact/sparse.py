"""A header-only GGUF file, extended to its full size without taking disk: enough for llama.cpp's fit report."""

from __future__ import annotations

from pathlib import Path

from ultralab.models.formats.gguf_reader import read_gguf


def write_sparse(header: bytes, path: Path) -> Path:
    """Write ``header`` (all bytes up to the tensor data, or more) and extend the file to what its tensors need.

    Raises FileDamaged or Unsupported for a header that cannot be read, FileAccess.
    """
    path.write_bytes(header)
    read = read_gguf(path, weights=False)
    end = max((tensor.start + tensor.size for tensor in read.tensors), default=len(header))
    with path.open("r+b") as stream:
        stream.truncate(max(end, len(header)))
    return path
