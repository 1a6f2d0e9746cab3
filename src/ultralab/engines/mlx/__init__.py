"""MLX: ``mlx_lm`` serves in a child process."""

from ultralab.engines.mlx.engine import ENGINE

__all__ = ["ENGINE"]
