"""Running a model: a reservation, a guarded process, a client, and a clean end, whatever happens in between.

``load`` hears the process until it is ready, ``watch`` looks after it from then on, ``diagnosis`` reads its log when it
fails, ``running`` puts them together.
"""

from ultralab.engines.host.running import loaded
from ultralab.engines.host.types import Loaded, Patience, Request

__all__ = ["Loaded", "Patience", "Request", "loaded"]
