"""A GGUF model in several files, and GGUF models in folders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO

import pytest
from tests.gguf_maker import (
    ARR,
    I32,
    SMALL_TENSORS,
    STR,
    U16,
    U32,
    Tensor,
    entry,
    gguf_bytes,
    small_keys,
    small_model,
    split_model,
)

from ultralab.kernel.errors import FileDamaged, Unsupported
from ultralab.models.bundles import from_path
from ultralab.models.formats.base import Bundle, Item, Limits, ModelHeader
from ultralab.models.formats.gguf import FORMAT
from ultralab.models.formats.gguf_reader import read_gguf


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def whole(tmp_path: Path) -> ModelHeader:
    path = tmp_path / "whole.gguf"
    path.write_bytes(small_model())
    return FORMAT.read_header(from_path(path))


@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_parts_together_are_the_whole(tmp_path: Path, count: int) -> None:
    folder = written(tmp_path / "parts 模型", split_model(count))
    expected = whole(tmp_path)
    names = tuple(sorted(split_model(count)))
    for place in (folder, folder / names[0], folder / names[-1]):  # a part brings the others along
        bundle = from_path(place)
        assert FORMAT.recognises(bundle)
        header = FORMAT.read_header(bundle)
        assert (header.entry, header.files) == (names[0], names)
        assert header.shape == expected.shape
        assert header.tensor_types == expected.tensor_types
        assert header.metadata == expected.metadata


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missing_part_is_named(tmp_path: Path, missing: int) -> None:
    name = f"tiny-{missing:05d}-of-00003.gguf"
    files = split_model(3)
    del files[name]
    folder = written(tmp_path, files)
    for place in (folder, folder / next(iter(files))):
        assert FORMAT.recognises(from_path(place))
        with pytest.raises(FileDamaged, match=name):
            FORMAT.read_header(from_path(place))


def test_a_single_part_alone_whatever_it_is_called(tmp_path: Path) -> None:
    for name, content in split_model(3).items():
        path = tmp_path / "renamed.gguf"
        path.write_bytes(content)
        with pytest.raises(FileDamaged, match="of 3"):
            FORMAT.read_header(from_path(path))
        written(tmp_path / name, {name: content})
        with pytest.raises(FileDamaged, match="is missing"):
            FORMAT.read_header(from_path(tmp_path / name / name))


def broken(**more: tuple[int, object]) -> list[bytes]:
    return small_keys(**{"split__no": (U16, 0), "split__count": (U16, 2), "split__tensors__count": (I32, 4), **more})


FIRST, SECOND = split_model(2)
LIES = {
    "swapped": ({FIRST: split_model(2)[SECOND], SECOND: split_model(2)[FIRST]}, "part 2 of 2"),
    "twice the first": ({FIRST: split_model(2)[FIRST], SECOND: split_model(2)[FIRST]}, "part 1 of 2"),
    "a part of another": ({FIRST: split_model(2)[FIRST], SECOND: split_model(3)["tiny-00002-of-00003.gguf"]}, "part 2 of 3"),
    "no part at all": ({FIRST: split_model(2)[FIRST], SECOND: small_model()}, "part None of None"),
    "a tensor twice": (
        {FIRST: gguf_bytes(broken(), SMALL_TENSORS), SECOND: split_model(2)[SECOND]}, "in another part too"
    ),
    "tensors too few": (
        {FIRST: gguf_bytes(broken(split__tensors__count=(I32, 5)), SMALL_TENSORS[::2]), SECOND: split_model(2)[SECOND]}, "promises 5"
    ),
    "a number too high": ({**split_model(2), "tiny-00003-of-00002.gguf": split_model(2)[SECOND]}, "numbered beyond"),
    "a truncated part": ({FIRST: split_model(2)[FIRST], SECOND: split_model(2)[SECOND][:-1]}, "truncated"),
    "a count that is a text": ({FIRST: gguf_bytes(broken(split__count=(STR, "2")), SMALL_TENSORS), SECOND: b""}, "damaged"),
    "an empty part": ({FIRST: split_model(2)[FIRST], SECOND: b""}, "ends inside"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_parts_that_do_not_fit(tmp_path: Path, name: str) -> None:
    files, said = LIES[name]
    with pytest.raises(FileDamaged, match=said):
        FORMAT.read_header(from_path(written(tmp_path, files)))


def test_the_limit_of_tensors_holds_for_all_parts_together(tmp_path: Path) -> None:
    folder = written(tmp_path, split_model(2))
    with pytest.raises(Unsupported, match="more than 3"):
        FORMAT.read_header(from_path(folder, Limits(tensors=3)))
    assert FORMAT.read_header(from_path(folder, Limits(tensors=4))).shape.layers == 1


def test_a_folder_with_one_model_and_small_files(tmp_path: Path) -> None:
    folder = written(
        tmp_path, {"m.gguf": small_model(), "README.md": b"#", "LICENSE": b"-", "run.py": b"x", "notes": b"y"}
    )
    header = FORMAT.read_header(from_path(folder))
    assert (header.entry, header.files) == ("m.gguf", ("m.gguf", "LICENSE", "README.md"))


@pytest.mark.parametrize(
    "names",
    [
        ("a.gguf", "b.gguf"),
        ("a.gguf", "tiny-00001-of-00002.gguf"),
        ("a-00001-of-00002.gguf", "b-00001-of-00002.gguf"),
        ("a.txt", "b"),
        (),
    ],
)
def test_a_folder_with_several_models_or_none_is_not_recognised(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert not FORMAT.recognises(from_path(written(tmp_path, dict.fromkeys(names, small_model()))))


def test_a_header_alone_is_enough_where_that_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "header.gguf"
    path.write_bytes(gguf_bytes(small_keys(), SMALL_TENSORS, with_data=False))
    with pytest.raises(FileDamaged, match="truncated"):
        read_gguf(path)
    assert len(read_gguf(path, weights=False).tensors) == len(SMALL_TENSORS)


class Counting(BytesIO):
    """A stream that knows how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        type(self).taken += len(found)
        return found


def test_of_a_far_file_only_the_header_is_read() -> None:
    content = gguf_bytes(small_keys(), (*SMALL_TENSORS, Tensor("big", (1024, 4096))))

    @contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with Counting(content) as stream:
            yield stream

    Counting.taken = 0
    item = Item("m.gguf", len(content), "https://example.org/m.gguf", opened)
    header = FORMAT.read_header(Bundle(item.where, (item,)))
    assert header.shape.parameters > 4_000_000
    assert Counting.taken <= 256 * 1024 < len(content)


def test_facts_beside_the_shape(tmp_path: Path) -> None:
    keys = small_keys(
        llama__expert_count=(U32, 8), llama__expert_used_count=(U32, 2), tokenizer__ggml__model=(STR, "gpt2"),
        tokenizer__chat_template=(STR, "{{ m }}" * 20_000), general__base_model__count=(U32, 2),
    )  # fmt: skip
    keys += [
        entry("general.base_model.0.repo_url", STR, "https://huggingface.co/org/base-7b"),
        entry("general.base_model.1.name", STR, "Other \x1b[1m"),
    ]
    tensors = (
        Tensor("token_embd.weight", (64, 4)),
        Tensor("blk.0.ffn_up_exps.weight", (64, 64, 8), "Q8_0"),
        Tensor("blk.0.ffn_up_shexp.weight", (64, 64), "F16"),
    )
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes(keys, tensors))
    header = FORMAT.read_header(from_path(path))
    assert (header.experts, header.experts_used, header.active_parameters) == (8, 2, 256 + 2 * 4096 + 4096)
    assert (header.dtype, header.tokenizer, len(header.chat_template)) == ("F16", "gpt2", 65_536)
    assert header.base_models == ("org/base-7b", "Other \N{REPLACEMENT CHARACTER}[1m")
    assert header.unsafe == ()


@pytest.mark.parametrize("count", [2**31 - 1, -1])
def test_a_count_of_base_models_that_lies(tmp_path: Path, count: int) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(small_model(general__base_model__count=(I32, count), a__x=(ARR, (U16, [1]))))
    assert FORMAT.read_header(from_path(path)).base_models == ()
