"""Which files make one model: listings as they are found in real repositories."""

from __future__ import annotations

import random

import pytest

from ultralab.kernel.errors import RequestError, Unsupported
from ultralab.models.pulling.grouping import Group, Sized, choose, group_of, groups, with_companions
from ultralab.models.sources.patterns import select

GB = 1_000_000_000


def sized(*names: str, size: int = GB) -> list[Sized]:
    return [Sized(name, size) for name in names]


def shards(stem: str, count: int, suffix: str) -> list[str]:
    return [f"{stem}-{number:05d}-of-{count:05d}{suffix}" for number in range(1, count + 1)]


def kinds(*names: str) -> list[tuple[str, str]]:
    return [(group.kind, group.label) for group in groups(sized(*names))]


GGUF = [
    "README.md",
    ".gitattributes",
    "config.json",
    "logo.png",
    "imatrix_unsloth.gguf_file",
    "m-Q4_K_M.gguf",
    "m-Q8_0.gguf",
]


def test_each_gguf_file_is_a_model() -> None:
    assert groups([Sized("m-Q8_0.gguf", 8), Sized("m-Q4_K_M.gguf", 4), *sized("config.json", "README.md")]) == (
        Group("m-Q4_K_M", ("m-Q4_K_M.gguf",), "gguf", 4),
        Group("m-Q8_0", ("m-Q8_0.gguf",), "gguf", 8),
    )


def test_a_split_set_is_one_model_also_in_a_folder() -> None:
    parts = shards("BF16/m-BF16", 3, ".gguf")
    assert groups(sized(*reversed(parts), "m-Q4_0.gguf")) == (
        Group("m-Q4_0", ("m-Q4_0.gguf",), "gguf", GB),
        Group("BF16/m-BF16", tuple(parts), "gguf", 3 * GB),
    )


def test_two_sets_of_one_name_but_of_other_counts_are_two() -> None:
    assert [len(group.names) for group in groups(sized(*shards("m", 2, ".gguf"), *shards("m", 3, ".gguf")))] == [2, 3]


def test_projectors_and_importance_matrices_are_no_models() -> None:
    names = ["mmproj-model-f16.gguf", "m-mmproj-F32.gguf", "m-imatrix.gguf", "m-Q4_0.gguf"]
    assert sorted(kinds(*names)) == [
        ("gguf", "m-Q4_0"),
        ("imatrix", "m-imatrix"),
        ("projector", "m-mmproj-F32"),
        ("projector", "mmproj-model-f16"),
    ]
    assert choose(groups(sized(*names)), "hf:o/r").names == ("m-Q4_0.gguf",)


WEIGHTS = shards("model", 2, ".safetensors")
BESIDE = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "merges.txt", "chat_template.jinja",
          "model.safetensors.index.json", "LICENSE", "README.md", "modeling_x.py"]  # fmt: skip


def test_sharded_safetensors_with_what_belongs_to_them() -> None:
    apart = [".gitattributes", "figure.png", "a.jpg", "original/consolidated.00.pth", "original/params.json", "onnx/model.onnx",
             "flax_model.msgpack", "tf_model.h5", "rust_model.ot", "consolidated.safetensors", "pytorch_model.bin",
             "pytorch_model.bin.index.json", "metal/model.bin", "training_args.bin", "runs/events.out"]  # fmt: skip
    (group,) = groups(sized(*WEIGHTS, *BESIDE, *apart))
    assert (group.kind, group.label) == ("safetensors", "model")
    assert group.names == tuple(sorted([*WEIGHTS, *BESIDE]))
    assert group.size == len(group.names) * GB


def test_shards_come_before_the_same_weights_in_one_file() -> None:
    (group,) = groups(sized(*WEIGHTS, "model.safetensors", "config.json", "model.safetensors.index.json"))
    assert "model.safetensors" not in group.names


def test_what_only_an_index_may_name_goes_along() -> None:
    (group,) = groups(sized(*WEIGHTS, "mtp.safetensors", "config.json", "model.safetensors.index.json"))
    assert "mtp.safetensors" in group.names


def test_mistral_s_consolidated_weights_alone() -> None:
    (group,) = groups(sized("consolidated.safetensors", "params.json", "tekken.json"))
    assert group.names == ("consolidated.safetensors", "params.json", "tekken.json")


def test_variants_and_adapters_are_groups_of_their_own() -> None:
    names = ["model.safetensors", "model.fp16.safetensors", "adapter_model.safetensors", "config.json"]
    found = {group.label: group for group in groups(sized(*names))}
    assert {label: group.kind for label, group in found.items()} == {
        "model": "safetensors",
        "model.fp16": "safetensors",
        "adapter_model": "adapter",
    }
    assert found["model.fp16"].names == ("config.json", "model.fp16.safetensors")


def test_folders_hold_models_of_their_own_and_the_root_comes_first() -> None:
    names = ["model.safetensors", "config.json", "4bit/model.safetensors", "4bit/config.json", "8bit/model.safetensors"]
    found = groups(sized(*names))
    assert sorted(group.label for group in found) == ["4bit", "8bit", "model"]
    assert choose(found, "hf:o/r").names == ("config.json", "model.safetensors")
    inside = groups(sized("4bit/model.safetensors", "4bit/config.json"))
    assert choose(inside, "hf:o/r:4bit/*").names == ("4bit/config.json", "4bit/model.safetensors")


def test_pytorch_only_where_there_are_no_safetensors() -> None:
    torch = [*shards("pytorch_model", 2, ".bin"), "pytorch_model.bin.index.json", "config.json", "optimizer.pt"]
    (group,) = groups(sized(*torch))
    assert (group.kind, group.names) == ("pytorch", tuple(sorted(torch[:-1])))
    assert kinds(*torch, "model.safetensors") == [("safetensors", "model")]
    assert choose([Group("a", ("a",), "pytorch", 1), Group("b", ("b",), "safetensors", 1)], "x").label == "b"


def test_sizes_that_are_not_known() -> None:
    assert groups([Sized("a.gguf", None)])[0].size is None
    assert groups([Sized("model.safetensors", 5), Sized("config.json", None)])[0].size is None


def test_one_file_means_its_group() -> None:
    files = sized(*WEIGHTS, "config.json", "other.txt")
    assert group_of(files, WEIGHTS[1]) == groups(files)[0]
    assert group_of(files, "other.txt") is None


def test_several_quantizations_are_listed_with_their_sizes() -> None:
    files = [Sized("m-Q8_0.gguf", 8 * GB), Sized("m-Q4_K_M.gguf", 4 * GB), Sized("m-Q6_K.gguf", 6 * GB)]
    with pytest.raises(RequestError) as caught:
        choose(groups(files), "hf:org/repo@v1:*.gguf")
    assert caught.value.message.startswith("hf:org/repo@v1:*.gguf holds 3 models: m-Q4_K_M (")
    assert caught.value.data["choices"] == ["m-Q4_K_M", "m-Q6_K", "m-Q8_0"]
    assert caught.value.hint == "Choose one, for example hf:org/repo@v1:Q6_K."


@pytest.mark.parametrize(
    "names",
    [
        ["m-Q4_K.gguf", "m-Q4_K_M.gguf", "m-Q4_K_S.gguf"],
        ["a-Q4_0.gguf", "b-Q4_0.gguf"],
        [
            "UD-Q4_K_XL/m-UD-Q4_K_XL-00001-of-00002.gguf",
            "UD-Q4_K_XL/m-UD-Q4_K_XL-00002-of-00002.gguf",
            "m-Q4_K_XL.gguf",
        ],
        ["x.gguf", "xx.gguf", "xxx.gguf"],
        ["模型.gguf", "模型 二.gguf", "model.safetensors", "config.json"],
    ],
)
def test_the_example_means_exactly_one_model(names: list[str]) -> None:
    found = groups(sized(*names))
    with pytest.raises(RequestError) as caught:
        choose(found, "hf:org/repo")
    reference = caught.value.hint.removeprefix("Choose one, for example ").removesuffix(".")
    chosen = select(names, reference.removeprefix("hf:org/repo:"))
    assert set(chosen) in [set(group.names) for group in found]


def test_an_example_for_a_folder_is_a_path() -> None:
    with pytest.raises(RequestError) as caught:
        choose(groups(sized("a-Q4_0.gguf", "b-Q8_0.gguf")), "path:/models")
    assert caught.value.hint.removesuffix(".") in {
        f"Choose one, for example path:/models/{name}.gguf" for name in ("a-Q4_0", "b-Q8_0")
    }


@pytest.mark.parametrize("names", [[], ["README.md", "config.json"], ["mmproj-x.gguf"], ["onnx/model.safetensors"]])
def test_no_model_at_all(names: list[str]) -> None:
    with pytest.raises(Unsupported):
        choose(groups(sized(*names)), "hf:o/r")


def test_no_file_is_in_two_models_of_gguf_and_the_order_of_the_list_says_nothing() -> None:
    names = [*WEIGHTS, *BESIDE, *shards("a", 3, ".gguf"), "b.gguf", "mmproj.gguf", "4bit/model.safetensors"]
    wanted = groups(sized(*names))
    for seed in range(20):
        mixed = list(names)
        random.Random(seed).shuffle(mixed)
        assert groups(sized(*mixed)) == wanted


def test_a_long_hostile_list_is_grouped_at_once() -> None:
    names = [f"{'a' * (number % 150)}-{number:05d}-of-99999.gguf" for number in range(20_000)]
    assert sum(len(group.names) for group in groups(sized(*names))) == 20_000


def test_weights_asked_for_by_name_bring_what_they_need() -> None:
    names = ["README.md", "config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors",
             "model-00002-of-00002.safetensors", "model.fp16.safetensors", "tokenizer.json", "picture.png",
             "other/config.json", "Tiny-Q4_0.gguf"]  # fmt: skip
    small = ["README.md", "config.json", "tokenizer.json"]
    assert set(with_companions(names, ["model.fp16.safetensors"])) == {*small, "model.fp16.safetensors"}
    assert set(with_companions(names, names[3:5])) == {*small, *names[2:5]}
    assert with_companions(names, ["Tiny-Q4_0.gguf"]) == ("Tiny-Q4_0.gguf",)
    assert with_companions(names, []) == ()
    assert with_companions(names, names) == tuple(names)
