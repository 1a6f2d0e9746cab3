"""The account of an answer, for people and as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes

if TYPE_CHECKING:
    from ultralab.engines.types import Timings


@dataclass(frozen=True)
class Stats:
    """One answer: what the engine counted, seconds until the first piece came, bytes that the engine holds, how it ended."""

    timings: Timings | None
    first_s: float | None
    memory: int
    finish: str

    def line(self) -> str:
        """One line for people."""
        parts = []
        if (t := self.timings) is not None:
            read = _("{tokens} tokens read at {speed:.0f} tok/s").format(tokens=t.prompt_tokens, speed=t.prefill_tok_s)
            if not t.prefill_tok_s:
                read = _("{tokens} tokens read").format(tokens=t.prompt_tokens)
            if t.cached_tokens:
                read += _(" ({cached} from the cache)").format(cached=t.cached_tokens)
            said = _("{tokens} written at {speed:.1f} tok/s").format(tokens=t.generated_tokens, speed=t.decode_tok_s)
            if not t.decode_tok_s:  # a single token takes no time that could be told
                said = _("{tokens} written").format(tokens=t.generated_tokens)
            parts += [read, said]
        if self.first_s is not None:
            parts.append(_("first after {seconds:.2f} s").format(seconds=self.first_s))
        if self.memory:
            parts.append(format_bytes(self.memory))
        if self.finish == "length":
            parts.append(_("cut off: the limit of tokens is reached"))
        if self.finish == "stopped":
            parts.append(_("stopped by you"))
        return " · ".join(parts)

    def data(self) -> dict[str, Any]:
        """The same as data."""
        t = self.timings
        return {
            "prompt_tokens": t.prompt_tokens if t is not None else None,
            "cached_tokens": t.cached_tokens if t is not None else None,
            "generated_tokens": t.generated_tokens if t is not None else None,
            "prefill_tok_s": t.prefill_tok_s if t is not None else None,
            "decode_tok_s": t.decode_tok_s if t is not None else None,
            "measured_by": ("engine" if t.by_engine else "client") if t is not None else None,
            "ttft_s": self.first_s,
            "memory_bytes": self.memory or None,
            "finish": self.finish,
        }
