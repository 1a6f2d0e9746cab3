"""What the processes of this engine want to know of a model's header. Readers are imported when they are asked."""

from __future__ import annotations


def pools(model: str) -> bool:
    """Whether the header says how embeddings are pooled. Raises what reading a header raises."""
    from pathlib import Path

    from ultralab.models.formats.gguf_reader import read_gguf

    return any(key.endswith(".pooling_type") for key in read_gguf(Path(model)).values)


def fault(model: str) -> str:
    """What is wrong with the file, which llama.cpp only writes into its log; empty where its header is sound."""
    from pathlib import Path

    from ultralab.kernel.errors import UltralabError
    from ultralab.models.bundles import from_path
    from ultralab.models.formats.gguf import FORMAT

    try:
        FORMAT.read_header(from_path(Path(model)))
    except UltralabError as error:
        return error.message
    return ""
