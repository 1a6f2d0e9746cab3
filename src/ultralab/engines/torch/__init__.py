"""PyTorch: ``transformers`` serves in a child process, on MPS where there is one, else on the CPU."""

from ultralab.engines.torch.engine import ENGINE

__all__ = ["ENGINE"]
