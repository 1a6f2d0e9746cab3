"""The tiny model's tokenizer: byte-level BPE as GPT-2 has it, four special tokens, a ChatML template.

It is meant to be treacherous: a beginning-of-text token is wanted, and the template writes one, too (whoever adds both has
it twice); a turn ends with another token than a text does.

Sources: the byte alphabet and the order of merges are those of GPT-2's ``encoder.py`` (openai/gpt-2); the file formats are
those of Hugging Face ``tokenizers`` and of GGUF's specification (ggml-org/ggml ``docs/gguf.md``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from types import MappingProxyType
from typing import Final

SPECIAL: Final = ("<|endoftext|>", "<s>", "<|im_start|>", "<|im_end|>")
END_OF_TEXT, BEGIN, TURN, END_OF_TURN = range(len(SPECIAL))
"""Token numbers. ``END_OF_TURN`` is *the* end token; ``END_OF_TEXT`` ends a text, too."""

TEMPLATE: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_WORDS: Final = (
    " the", " and", " of", " to", " in", " is", " that", " for", " we", " quick", " brown", "    ", "ing", "ed", "er",
    "def", " return", "user", "assistant", "你好", "的", "🌸",
)  # fmt: skip
"""Each becomes a token, and so does each of its beginnings, by merging from the left."""

# GPT-2's way of cutting a text, with Python's own classes for its \p{L} and \p{N}: the same for the texts that are asked here.
_PIECES: Final = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:_|[^\s\w])+|\s+(?!\S)|\s+", re.UNICODE)


@cache
def alphabet() -> Mapping[int, str]:
    """A printable character for each byte: itself where it is one, else the next free one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return MappingProxyType(
        {byte: chr(byte) for byte in printable} | {byte: chr(256 + at) for at, byte in enumerate(rest)}
    )


@cache
def merges() -> tuple[tuple[str, str], ...]:
    """Which two tokens become one, the most urgent first."""
    letters = alphabet()
    found: dict[tuple[str, str], None] = {}
    for word in _WORDS:
        spelled = "".join(letters[byte] for byte in word.encode())
        for end in range(1, len(spelled)):
            found[spelled[:end], spelled[end]] = None
    return tuple(found)


@cache
def tokens() -> tuple[str, ...]:
    """All tokens as the files write them, by number: special ones, bytes, merged ones."""
    letters = alphabet()
    return (*SPECIAL, *(letters[byte] for byte in range(256)), *(left + right for left, right in merges()))


def text_of(token: int) -> bytes:
    """What a token stands for; special ones are written out."""
    if token < len(SPECIAL):
        return SPECIAL[token].encode()
    back = {letter: byte for byte, letter in alphabet().items()}
    return bytes(back[letter] for letter in tokens()[token])


def encode(text: str, *, begin: bool = True) -> tuple[int, ...]:
    """The tokens of a text, computed plainly: special tokens in it are read, ``begin`` puts one at its start."""
    numbers = {token: number for number, token in enumerate(tokens())}
    ranks = {pair: rank for rank, pair in enumerate(merges())}
    letters = alphabet()
    found = [BEGIN] if begin else []
    for part in re.split("(" + "|".join(re.escape(token) for token in SPECIAL) + ")", text):
        if part in SPECIAL:
            found.append(numbers[part])
            continue
        for piece in _PIECES.findall(part):
            found.extend(numbers[token] for token in _merged([letters[byte] for byte in piece.encode()], ranks))
    return tuple(found)


def _merged(parts: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    while True:
        pairs = [(ranks[pair], at) for at, pair in enumerate(pairwise(parts)) if pair in ranks]
        if not pairs:
            return parts
        _rank, at = min(pairs)
        parts = [*parts[:at], parts[at] + parts[at + 1], *parts[at + 2 :]]
