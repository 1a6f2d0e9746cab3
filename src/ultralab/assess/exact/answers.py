"""What llama.cpp answered: its report, read together with its log. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024

_ROW: Final = re.compile(r"(\S.*?) +(\d{1,12}) (\d{1,12}) (\d{1,12}) *")
_CACHE: Final = re.compile(r"llama_(?:kv_cache|memory)\w*: +size = +(\d+\.\d+) MiB \(")
_BUFFER: Final = re.compile(r"(\S+) +compute buffer size = +(\d+\.\d+) MiB")
_EMPTY_WORDS: Final = (
    "terminate called", "what():", "libc++abi", "failed to load model", "failed to create llama_context",
)  # fmt: skip


@dataclass(frozen=True)
class DeviceShare:
    """What one device (``MTL0``, ``Host``) holds, bytes, as whole MiB cut off: so the report prints them."""

    name: str
    weights: int
    kv_cache: int
    compute: int


@dataclass(frozen=True)
class ExactAnswer:
    """llama.cpp's own figures, bytes, all devices together. ``engine``: who answered, with its version.

    ``kv_cache`` and ``compute`` are good to 0.01 MiB where the log says them so finely, else whole MiB. ``outputs``: the
    rows of logits that ``compute`` holds, 0: one for each token of the micro-batch. ``seconds``: from header to answer.
    """

    weights: int
    kv_cache: int
    compute: int
    engine: str
    seconds: float
    devices: tuple[DeviceShare, ...] = ()
    outputs: int = 0


def read_report(printed: str) -> tuple[DeviceShare, ...] | None:
    """The rows of the report: a device's name, then MiB of weights, context and compute; None where there are none.

    Source: llama.cpp ``common/fit.cpp`` (``common_fit_print``): each device that computes, last the host.
    """
    found = [match for line in printed.splitlines() if (match := _ROW.fullmatch(line.strip()))]
    if not found or found[-1][1].lower() != "host":
        return None
    return tuple(DeviceShare(row[1], *(int(row[at]) * MIB for at in (2, 3, 4))) for row in found)


def finer_cache(log: str, shares: tuple[DeviceShare, ...]) -> int:
    """Bytes of the cache: the sizes that each cache logs of itself, where they agree with the report.

    Source: llama.cpp ``llama-kv-cache.cpp``, ``llama-memory-recurrent.cpp`` (a line ``size = … MiB (… cells`` each).
    """
    logged = sum(float(size) for size in _CACHE.findall(log))
    return _agreed(logged, [share.kv_cache for share in shares])


def finer_compute(log: str, shares: tuple[DeviceShare, ...]) -> int:
    """Bytes of the compute buffers: what the log says of each device at last, where it agrees with the report."""
    logged = {device: float(size) for device, size in _BUFFER.findall(log)}
    return _agreed(sum(logged.values()), [share.compute for share in shares])


def finer_weights(tensors: int, shares: tuple[DeviceShare, ...]) -> int:
    """Bytes of the weights: all ``tensors`` of the header, unless llama.cpp leaves some of them out."""
    return _agreed(tensors / MIB, [share.weights for share in shares])


def reason(errors: str) -> str:
    """Of what a program left on standard error, the last line that says why; empty where none does."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    telling = [line for line in lines if not any(word in line for word in _EMPTY_WORDS)]
    return (telling or lines or [""])[-1]


def _agreed(fine_mib: float, rows: list[int]) -> int:
    """The finer figure, if cutting a part of a MiB off in each row can have made the rows of it."""
    whole = sum(rows)
    return round(fine_mib * MIB) if -0.01 <= fine_mib - whole / MIB < len(rows) else whole
