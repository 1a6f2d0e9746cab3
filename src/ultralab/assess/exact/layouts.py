"""Where llama.cpp's parameters lie in memory, for the versions of ``xllamacpp`` that were looked at.

``xllamacpp`` exports llama.cpp's C functions, but no Python call reaches its fit report, and the structs of parameters
change from version to version. So: a layout per version, and before anything is set, what the library says its defaults
are is compared with what the layout expects to find there. A version that is not in the table is refused, never guessed.

Source: llama.cpp ``include/llama.h`` (``llama_context_params``, ``llama_model_params``), checked against the defaults
that the library returned.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Layout:
    """Byte offsets, and the defaults that must be found: offset to (``struct`` code, value)."""

    sizes: int
    """``n_ctx``, ``n_batch``, ``n_ubatch``, ``n_seq_max``, four uint32 in this order."""
    outputs: int
    """``n_outputs_max``, uint32."""
    flash: int
    key_type: int
    value_type: int
    swa_full: int
    kv_unified: int
    extra_buffers: int
    context_defaults: Mapping[int, tuple[str, int]]
    model_defaults: Mapping[int, tuple[str, int]]

    def fits(self, context: bytes, model: bytes) -> bool:
        """Whether the library's own defaults stand where this layout expects them."""
        return _stand(context, self.context_defaults) and _stand(model, self.model_defaults)


def _stand(content: bytes, expected: Mapping[int, tuple[str, int]]) -> bool:
    return all(struct.unpack_from(code, content, at)[0] == value for at, (code, value) in expected.items())


_2026_10 = Layout(
    sizes=0,
    outputs=20,
    flash=52,
    key_type=104,
    value_type=108,
    swa_full=140,
    kv_unified=141,
    extra_buffers=74,
    context_defaults={
        0: ("<I", 512), 4: ("<I", 2048), 8: ("<I", 512), 12: ("<I", 1), 16: ("<I", 0), 20: ("<I", 0), 24: ("<I", 1), 28: ("<i", 4), 32: ("<i", 4), 36: ("<i", 0),
        40: ("<i", -1), 44: ("<i", -1), 48: ("<i", -1), 52: ("<i", -1), 104: ("<i", 1), 108: ("<i", 1),
        136: ("<B", 0), 137: ("<B", 1), 138: ("<B", 1), 139: ("<B", 1), 140: ("<B", 1), 141: ("<B", 0),
    },
    model_defaults={
        16: ("<i", -1), 20: ("<i", 1), 72: ("<B", 0), 73: ("<B", 0), 74: ("<B", 1), 75: ("<B", 0), 76: ("<B", 0),
    },
)  # fmt: skip

LAYOUTS: Final[Mapping[str, Layout]] = {"2026.10.11549": _2026_10}
