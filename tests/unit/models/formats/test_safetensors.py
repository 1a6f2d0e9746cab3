"""Directories of SafeTensors: which files, their index, the facts of config.json, the share of experts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import Barrier
from typing import IO, Any

import pytest
from tests.safetensors_maker import LLAMA, SMALL, directory, safetensors_bytes, sharded, write_json

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.models.bundles import from_path
from ultralab.models.formats.base import Bundle, Item, Limits, ModelHeader
from ultralab.models.formats.config import config_of
from ultralab.models.formats.safetensors import FORMAT
from ultralab.planner.types import AttentionLayers, Experts, ModelShape

HALVES = ({n: SMALL[n] for n in list(SMALL)[:2]}, {n: SMALL[n] for n in list(SMALL)[2:]})


def header_of(place: Path, limits: Limits | None = None) -> ModelHeader:
    bundle = from_path(place, limits or Limits())
    assert FORMAT.recognises(bundle)
    return FORMAT.read_header(bundle)


def test_a_directory(tmp_path: Path) -> None:
    header = header_of(directory(tmp_path))
    assert header.shape == ModelShape(
        architecture="llama", layers=2, embedding=64, feed_forward=96, heads=4, kv_heads=2, key_dim=16, value_dim=16,
        vocabulary=100, trained_context=512, parameters=19_008, weight_bytes=38_144, bytes_per_token=38_144 - 12_800,
        cache=(AttentionLayers(2, 4, 2, 16, 16),),
    )  # fmt: skip
    assert (header.format, header.quantization, header.dtype, header.entry) == ("safetensors", "BF16", "BF16", "")
    assert header.tensor_types == {"BF16": 37_888, "F32": 256}
    assert header.files == ("model.safetensors", "config.json")
    assert (header.active_parameters, header.experts, header.unsafe) == (19_008, 0, ())


def test_a_single_file_without_any_configuration(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(safetensors_bytes(SMALL))
    header = header_of(path)
    assert (header.shape.parameters, header.shape.layers, header.shape.architecture) == (19_008, 0, "unknown")
    assert header.files == ("weights",)


def test_shards_are_one_model(tmp_path: Path) -> None:
    folder = sharded(tmp_path / "模型", HALVES)
    header = header_of(folder)
    assert header.shape == header_of(directory(tmp_path / "one")).shape
    assert header.files[:2] == ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    assert "model.safetensors.index.json" in header.files
    (folder / "model.safetensors.index.json").unlink()
    assert header_of(folder).shape == header.shape
    assert header_of(folder / "model-00002-of-00002.safetensors").shape.parameters == 19_008


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = sharded(tmp_path, HALVES)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(FileDamaged, match="model-00002-of-00002"):
        header_of(folder)
    with pytest.raises(FileDamaged, match="model-00002-of-00002"):
        header_of(folder / "model-00001-of-00002.safetensors")
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(FileDamaged, match="model-00002-of-00002"):
        header_of(folder)


def indexed(folder: Path, **changes: Any) -> Path:
    sharded(folder, HALVES)
    path = folder / "model.safetensors.index.json"
    write_json(path, {**json.loads(path.read_text()), **changes})
    return folder


ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
PLACES = {**dict.fromkeys(HALVES[0], ONE), **dict.fromkeys(HALVES[1], TWO)}
BAD_INDEXES: dict[str, tuple[dict[str, Any], str]] = {
    "outside": ({"weight_map": {**PLACES, "x": "../x.safetensors"}}, "lies outside"),
    "absolute": ({"weight_map": {**PLACES, "x": "/etc/x.safetensors"}}, "lies outside"),
    "a newline": ({"weight_map": {**PLACES, "x": "a\n.safetensors"}}, "lies outside"),
    "a backslash": ({"weight_map": {**PLACES, "x": "..\\x.safetensors"}}, "lies outside"),
    "a direction mark": ({"weight_map": {**PLACES, "x": "a\u202e.safetensors"}}, "lies outside"),
    "another kind": ({"weight_map": {**PLACES, "x": "x.bin"}}, "no SafeTensors"),
    "a file that is not there": ({"weight_map": {**PLACES, "x": "x.safetensors"}}, "missing"),
    "a tensor that is not there": ({"weight_map": {**PLACES, "x": ONE}}, "1 of the tensors"),
    "a tensor in the other shard": ({"weight_map": {**PLACES, "lm_head.weight": ONE}}, "1 of the tensors"),
    "a number": ({"weight_map": {**PLACES, "x": 1}}, "something else"),
    "a list": ({"weight_map": []}, "no weight_map"),
    "empty": ({"weight_map": {}}, "names 0 files"),
}


@pytest.mark.parametrize("name", BAD_INDEXES)
def test_a_bad_index(tmp_path: Path, name: str) -> None:
    changes, said = BAD_INDEXES[name]
    with pytest.raises(FileDamaged, match=said) as caught:
        header_of(indexed(tmp_path, **changes))
    assert caught.value.hint


@pytest.mark.parametrize(
    "total", [{}, {"total_size": 38_144}, {"total_size": 1, "total_parameters": 1}, {"total_size": "many"}]
)
def test_totals_that_may_be(tmp_path: Path, total: dict[str, object]) -> None:
    assert header_of(indexed(tmp_path, metadata=total)).shape.parameters == 19_008


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"weight_map": {', b'{"weight_map": {"a": "b', b"\xff", b'{"weight_map":{"a":"a.safetensors","a":"a.safetensors"}}', b'{"weight_map":{"a":"a.safetensors"}'],
)  # fmt: skip
def test_an_index_that_is_none(tmp_path: Path, content: bytes) -> None:
    folder = sharded(tmp_path, HALVES)
    (folder / "model.safetensors.index.json").write_bytes(content)
    with pytest.raises(FileDamaged):
        header_of(folder)


def test_a_tensor_that_the_index_does_not_name_does_not_count(tmp_path: Path) -> None:
    folder = indexed(
        tmp_path, metadata={}, weight_map={name: place for name, place in PLACES.items() if name != "model.norm.weight"}
    )
    assert header_of(folder).shape.parameters == 19_008 - 64


def test_a_stale_index_beside_the_whole_model(tmp_path: Path) -> None:
    directory(tmp_path)
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": {"x": "model-00001-of-00002.safetensors"}})
    assert header_of(tmp_path).shape.parameters == 19_008


def test_two_models_in_one_folder(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).write_bytes(safetensors_bytes(SMALL))
    with pytest.raises(Unsupported, match="several models"):
        header_of(tmp_path)


def test_the_limit_of_tensors_holds_for_all_shards_together(tmp_path: Path) -> None:
    folder = sharded(tmp_path, HALVES)
    for place in (folder, folder / ONE):
        with pytest.raises(Unsupported, match="too many tensors: more than 3"):
            header_of(place, Limits(tensors=3))
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(Unsupported, match="too many tensors: more than 3"):
        header_of(folder, Limits(tensors=3))


def test_shards_are_read_side_by_side(tmp_path: Path) -> None:
    """Four files that open only when four are open at once."""
    together = Barrier(4, timeout=20)

    def item(number: int) -> Item:
        content = safetensors_bytes({f"t{number}": ("F32", (2,))})

        @contextmanager
        def opened() -> Iterator[IO[bytes]]:
            together.wait()
            yield BytesIO(content)

        return Item(f"model-{number:05d}-of-00004.safetensors", len(content), f"far/{number}", opened)

    bundle = Bundle("far", tuple(item(number) for number in range(1, 5)))
    assert FORMAT.read_header(bundle).shape.parameters == 8


EXPERTS = {
    "model.embed_tokens.weight": ("BF16", (10, 8)),
    "lm_head.weight": ("BF16", (10, 8)),
    **{f"model.layers.0.mlp.experts.{at}.up_proj.weight": ("BF16", (8, 8)) for at in range(4)},
    "model.layers.0.mlp.shared_experts.up_proj.weight": ("BF16", (8, 8)),
    "model.layers.0.mlp.gate.weight": ("BF16", (4, 8)),
}
STACKED = {
    **{name: one for name, one in EXPERTS.items() if ".experts." not in name},
    "model.layers.0.mlp.experts.up_proj": ("BF16", (4, 8, 8)),
}


@pytest.mark.parametrize("tensors", [EXPERTS, STACKED])
@pytest.mark.parametrize(
    "keys",
    [
        ("num_experts", "num_experts_per_tok"),
        ("n_routed_experts", "num_experts_per_tok"),
        ("num_local_experts", "experts_per_token"),
    ],
)
def test_the_share_of_experts(
    tmp_path: Path, tensors: dict[str, tuple[str, tuple[int, ...]]], keys: tuple[str, str]
) -> None:
    small = {**LLAMA, "hidden_size": 8, "vocab_size": 10, "head_dim": 2, "moe_intermediate_size": 8}
    header = header_of(directory(tmp_path, tensors, {**small, keys[0]: 4, keys[1]: 1}))
    assert (header.experts, header.experts_used) == (4, 1)
    assert header.shape.parameters == 80 + 80 + 256 + 64 + 32
    assert header.active_parameters == 80 + 80 + 64 + 64 + 32
    assert header.shape.bytes_per_token == 2 * (80 + 64 + 64 + 32)
    assert header.shape.experts == Experts(count=4, used=1, feed_forward=8, layers=2)


@pytest.mark.parametrize("width", [128, 48, 63])
def test_an_embedding_of_another_width_is_damage(tmp_path: Path, width: int) -> None:
    place = directory(tmp_path, config={**LLAMA, "hidden_size": width})
    with pytest.raises(FileDamaged, match=rf"6400 numbers, its configuration says 100 rows of {width}"):
        header_of(place)


def test_an_embedding_may_have_rows_to_fill_up(tmp_path: Path) -> None:
    assert header_of(directory(tmp_path, config={**LLAMA, "vocab_size": 77})).shape.vocabulary == 77
    assert (
        header_of(directory(tmp_path, config={**LLAMA, "model_type": "nobody", "hidden_size": 63})).shape.embedding
        == 63
    )


def test_facts_by_any_name() -> None:
    found = config_of(
        {
            "model_type": "gpt2",
            "n_layer": 12,
            "n_embd": 768,
            "n_head": 12,
            "n_positions": 1024,
            "vocab_size": 50257,
            "dtype": "torch.float16",
        },
        "x",
    )
    assert (found.layers, found.hidden, found.heads, found.kv_heads, found.head_dim) == (12, 768, 12, 12, 64)
    assert (found.context, found.vocabulary, found.dtype) == (1024, 50257, "F16")
    nested = config_of(
        {"model_type": "gemma3", "torch_dtype": "bfloat16", "vision_config": {"hidden_size": 5}, "text_config": LLAMA},
        "x",
    )
    assert (nested.architecture, nested.hidden, nested.context, nested.dtype) == ("gemma3", 64, 512, "BF16")


@pytest.mark.parametrize("value", [-1, 2**31, 1.5, "12", True, {}, [1, "x"]])
def test_absurd_numbers_are_damage(tmp_path: Path, value: object) -> None:
    with pytest.raises(FileDamaged, match="num_hidden_layers is"):
        header_of(directory(tmp_path, config={**LLAMA, "num_hidden_layers": value}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":[' + b"[]," * 400_000 + b"[]]}",
        b" " * 4_194_305,
    ],
)
def test_a_config_that_is_none(tmp_path: Path, content: bytes) -> None:
    directory(tmp_path)
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(FileDamaged, match=r"config\.json"):
        header_of(tmp_path)


def test_tokenizer_template_and_what_belongs(tmp_path: Path) -> None:
    directory(tmp_path)
    vocabulary = {
        "added_tokens": [{"content": "x" * 400_000}],
        "pre_tokenizer": {"type": "No"},
        "model": {"type": "BPE", "vocab": {}},
    }
    write_json(tmp_path / "tokenizer.json", vocabulary)
    write_json(
        tmp_path / "tokenizer_config.json",
        {"chat_template": [{"name": "tool", "template": "t"}, {"name": "default", "template": "d"}]},
    )
    for name in (
        "LICENSE.txt",
        "README.md",
        "merges.txt",
        "modeling_x.py",
        "optimizer.pt",
        "generation_config.json",
        "tokenizer.py",
        "picture.png",
    ):
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "config.json").write_bytes(b"{}")
    header = header_of(tmp_path)
    assert (header.tokenizer, header.chat_template) == ("BPE", "d")
    assert header.files == (
        "model.safetensors", "LICENSE.txt", "README.md", "config.json", "generation_config.json", "merges.txt",
        "tokenizer.json", "tokenizer_config.json",
    )  # fmt: skip
    (tmp_path / "chat_template.jinja").write_text("模" * 100_000)
    assert header_of(tmp_path).chat_template == "模" * 65_536


def test_code_of_the_models_own_is_told(tmp_path: Path) -> None:
    header = header_of(
        directory(tmp_path, config={**LLAMA, "auto_map": {"AutoModel": "modeling_x.X"}, "trust_remote_code": True})
    )
    assert len(header.unsafe) == 2
    assert "modeling_x.X" in header.unsafe[0]


def test_a_file_without_weights_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_bytes({}))
    with pytest.raises(Unsupported, match="no weights"):
        header_of(path)
