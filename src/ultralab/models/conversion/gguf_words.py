"""The tokenizer of a GGUF file as Hugging Face's files: byte-level BPE whose way of cutting a text is known.

GGUF has only a name for that way (``tokenizer.ggml.pre``); of the names, those are taken whose rules a published
tokenizer has, and the judge compares tokens. Sources: ggml-org/ggml ``docs/gguf.md``; llama.cpp ``src/llama-vocab.cpp``
(which names begin with a token by themselves, which texts end an answer); the rules are those of transformers'
``Qwen2Tokenizer`` and ``convert_slow_tokenizer.TikTokenConverter`` (Llama 3), and of Hugging Face ``tokenizers``.
"""

from __future__ import annotations

import json
from typing import Any, Final

from ultralab.kernel.language import _
from ultralab.models.conversion.gguf_lists import numbers, texts
from ultralab.models.conversion.gguf_llama import refusal
from ultralab.models.formats.gguf_reader import GgufHeader, printable

_PREFIX: Final = "tokenizer.ggml."
_LISTS: Final = ("tokens", "token_type", "merges", "scores")
_IDS: Final = frozenset(
    f"{name}_token_id"
    for name in ("bos", "eos", "eot", "eom", "unknown", "padding", "seperator", "separator", "cls", "mask")
) | frozenset(f"fim_{name}_token_id" for name in ("pre", "suf", "mid", "pad", "rep", "sep"))
_FLAGS: Final = frozenset({"add_bos_token", "add_eos_token", "add_space_prefix"})
_KNOWN: Final = frozenset({"model", "pre", *_LISTS, *_IDS, *_FLAGS})

_UNKNOWN, _CONTROL, _USER, _UNUSED = 2, 3, 4, 5  # llama.h: LLAMA_TOKEN_TYPE_…

_ENDS: Final = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<|endoftext|>", "<|eom_id|>", "<|end_of_text|>", "<EOT>")
"""Texts that llama.cpp takes for the end of an answer, whatever the header says."""

_CONTRACTIONS: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST: Final = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN2: Final = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _REST
_LLAMA3: Final = _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _REST
_OF_LLAMA3: Final = ("llama-bpe", "llama3", "llama-v3")

_Piece = dict[str, Any]
_BYTES: Final[_Piece] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
_AS_GPT2: Final[_Piece] = {**_BYTES, "use_regex": True}


def _sequence(*pieces: _Piece) -> _Piece:
    return {"type": "Sequence", "pretokenizers": list(pieces)}


def _split(pattern: str) -> _Piece:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


_CUTS: Final[dict[str, _Piece]] = {
    "gpt-2": _AS_GPT2,
    "smollm": _sequence({"type": "Digits", "individual_digits": True}, _AS_GPT2),
    "qwen2": _sequence(_split(_QWEN2), _BYTES),
    **{name: _sequence(_split(_LLAMA3), _BYTES) for name in _OF_LLAMA3},
}


def words_of(raw: GgufHeader) -> dict[str, dict[str, Any]]:
    """``tokenizer.json``, ``tokenizer_config.json`` and ``generation_config.json`` by their names.

    Raises Unsupported: another kind of tokenizer, a way of cutting that is not known, a key that is not.
    """
    _require_known(raw)
    tokens, kinds = texts(raw, f"{_PREFIX}tokens"), numbers(raw, f"{_PREFIX}token_type")
    if not tokens or len(tokens) != len(kinds) or len(set(tokens)) != len(tokens):
        raise refusal(raw, _("the lists of its tokenizer do not fit each other"))
    special = {number for number, kind in enumerate(kinds) if kind in (_CONTROL, _UNKNOWN)}
    special |= {number for number, token in enumerate(tokens) if token in _ENDS}
    begin, end = _number(raw, "bos", tokens), _number(raw, "eos", tokens)
    said: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": raw.values.get(f"{raw.values['general.architecture']}.context_length"),
        "clean_up_tokenization_spaces": False,
    }
    for name, number in (("bos", begin), ("eos", end), ("pad", _number(raw, "padding", tokens))):
        if number is not None:
            said[f"{name}_token"] = tokens[number]
    if template := raw.values.get("tokenizer.chat_template"):
        said["chat_template"] = template
    return {
        "tokenizer.json": _tokenizer(raw, tokens, kinds, special),
        "tokenizer_config.json": said,
        "generation_config.json": _generation(begin, _ends(raw, tokens)),
    }


def _require_known(raw: GgufHeader) -> None:
    for entry in raw.entries:
        name = entry.key.removeprefix(_PREFIX)
        if name != entry.key and name not in _KNOWN:
            raise refusal(raw, _("nobody here knows what its key {key} does").format(key=printable(entry.key)))
    kind, cut = (str(raw.values.get(f"tokenizer.ggml.{name}", "-")) for name in ("model", "pre"))
    if kind != "gpt2":
        raise refusal(raw, _("its tokenizer is of the kind {name}, not byte-level BPE").format(name=printable(kind)))
    if cut not in _CUTS:
        raise refusal(raw, _("its tokenizer cuts texts by the rules called {name}").format(name=printable(cut)))
    if raw.values.get("tokenizer.ggml.add_space_prefix") is True:
        raise refusal(raw, _("its tokenizer puts a space before each text"))


def _tokenizer(raw: GgufHeader, tokens: list[str], kinds: list[int], special: set[int]) -> dict[str, Any]:
    cut = str(raw.values["tokenizer.ggml.pre"])
    merges = [merge.split(" ", 1) for merge in texts(raw, f"{_PREFIX}merges")]
    if any(len(pair) != 2 for pair in merges):
        raise refusal(raw, _("the lists of its tokenizer do not fit each other"))
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [
        {"id": number, "content": token, **plain, "special": number in special}
        for number, token in enumerate(tokens)
        if number in special or kinds[number] == _USER
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"} if cut == "qwen2" else None,  # Qwen's own tokenizer has it, llama.cpp does not
        "pre_tokenizer": _CUTS[cut],
        "post_processor": _around(raw, tokens),
        "decoder": _AS_GPT2,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": cut in _OF_LLAMA3,
            "vocab": {token: number for number, token in enumerate(tokens) if kinds[number] != _UNUSED},
            "merges": merges,
        },
    }


def _around(raw: GgufHeader, tokens: list[str]) -> dict[str, Any] | None:
    """What puts a token before a text, and after it."""
    always = raw.values.get("tokenizer.ggml.pre") in _OF_LLAMA3
    wanted = {
        "bos": raw.values.get("tokenizer.ggml.add_bos_token", always),
        "eos": raw.values.get("tokenizer.ggml.add_eos_token", False),
    }
    numbers = {name: _number(raw, name, tokens) for name, on in wanted.items() if on}
    if not numbers:
        return None
    if None in numbers.values():
        raise refusal(raw, _("its tokenizer adds a token that it does not name"))
    marks = {name: {"SpecialToken": {"id": tokens[number or 0], "type_id": 0}} for name, number in numbers.items()}

    def framed(*texts: str) -> list[Any]:
        inner: list[Any] = []
        for kind, text in enumerate(texts):
            one = [{"Sequence": {"id": text, "type_id": kind}}]
            inner += [*([marks["bos"]] if "bos" in marks else []), *one, *([marks["eos"]] if "eos" in marks else [])]
        return inner

    names = {tokens[number or 0]: number for number in numbers.values()}
    return {
        "type": "TemplateProcessing",
        "single": framed("A"),
        "pair": framed("A", "B"),
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]} for name, number in names.items()},
    }


def _generation(begin: int | None, ends: list[int]) -> dict[str, Any]:
    said: dict[str, Any] = {"eos_token_id": ends} if ends else {}
    return said if begin is None else {"bos_token_id": begin, **said}


def _ends(raw: GgufHeader, tokens: list[str]) -> list[int]:
    """The tokens that end an answer, *the* end first."""
    named = [_number(raw, name, tokens) for name in ("eos", "eot", "eom")]
    known = [tokens.index(text) for text in _ENDS if text in tokens]
    return list(dict.fromkeys(number for number in (*named, *known) if number is not None))


def _number(raw: GgufHeader, name: str, tokens: list[str]) -> int | None:
    found = raw.values.get(f"tokenizer.ggml.{name}_token_id")
    if found is None:
        return None
    if not isinstance(found, int) or not 0 <= found < len(tokens):
        raise refusal(raw, _("the lists of its tokenizer do not fit each other"))
    return found


def written(content: dict[str, Any]) -> str:
    """As a file's text."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
