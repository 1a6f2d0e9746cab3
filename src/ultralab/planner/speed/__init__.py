"""Speed: decode as a roofline over the bytes that a token reads, prefill from computing, and the time to the first token.

``work_of`` says what a model asks for, ``decode``, ``prefill`` and ``ttft`` what a machine makes of it; ``fit`` makes a
calibration of a machine's own measurements, over the public ones of ``defaults``.
"""

from ultralab.planner.speed.calibration import Calibration
from ultralab.planner.speed.own import fit
from ultralab.planner.speed.predict import decode, prefill, ttft
from ultralab.planner.speed.work import work_of

__all__ = ["Calibration", "decode", "fit", "prefill", "ttft", "work_of"]
