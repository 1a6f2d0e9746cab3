"""llama.cpp: embedded (``xllamacpp``), or an installed ``llama-server``."""

from ultralab.engines.llamacpp.engine import ENGINE

__all__ = ["ENGINE"]
