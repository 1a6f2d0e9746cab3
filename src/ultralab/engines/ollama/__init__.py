"""A running Ollama, through its HTTP API."""

from ultralab.engines.ollama.engine import ENGINE

__all__ = ["ENGINE"]
