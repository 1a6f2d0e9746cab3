"""An engine without a model, for tests and for developing what stands above the engines."""

from ultralab.engines.fake.engine import ENGINE, Fake

__all__ = ["ENGINE", "Fake"]
