"""What a quantization's name says: how it compares with what people type, and to how many bits it comes. Pure."""

from __future__ import annotations

import re
from typing import Final

_BITS: Final = re.compile(r"(?:^|[^0-9a-z])(\d{1,2})[-_ ]?bits?(?:$|[^a-z])", re.IGNORECASE)
_GGML: Final = re.compile(r"(?:ud-|i1-)?[it]?q(\d)(?:_|$)", re.IGNORECASE)
_FLOAT: Final = re.compile(r"(?:^|[^a-z0-9])(?:mx|nv)?(?:b?fp?|int)(\d{1,2})(?:$|[^0-9])", re.IGNORECASE)
_SEPARATORS: Final = re.compile(r"[-_ ]+")
_NUMBER: Final = re.compile(r"(\d{1,2})(?:[-_ ]?bits?)?", re.IGNORECASE)


def bits_of(quantization: str) -> int:
    """Whole bits of a quantization by its name: ``Q4_K_M``, ``IQ4_XS``, ``MXFP4``, ``MLX 4-bit g64`` are 4, ``BF16`` 16;
    0 where the name says nothing. The names are ggml's types and those that this library's formats give.
    """
    match = _BITS.search(quantization) or _GGML.match(quantization) or _FLOAT.search(quantization)
    return int(match[1]) if match else 0


def quantization_fits(quantization: str, asked: str) -> bool:
    """Whether a quantization is what somebody means by ``asked``: in any case of letters, and with ``-``, ``_``, a space
    or nothing between the parts.

    ``q4`` is how a name begins: ``Q4_0`` and ``Q4_K_M`` fit, ``IQ4_XS`` and ``MLX 4-bit`` do not. Any word of a name may
    be the beginning: ``4-bit g64`` fits ``MLX 4-bit g64``. A number of bits (``4``, ``4bit``, ``4-bit``) fits
    everything of so many bits, whatever the format.
    """
    wanted = asked.strip()
    if number := _NUMBER.fullmatch(wanted):
        return bits_of(quantization) == int(number[1])
    plain = _plain(wanted)
    words = quantization.split()
    return bool(plain) and any(_plain("".join(words[start:])).startswith(plain) for start in range(len(words)))


def _plain(text: str) -> str:
    return _SEPARATORS.sub("", text).casefold()
