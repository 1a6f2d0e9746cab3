"""PyTorch files: told what they are and what loading them could do, and never loaded."""

from __future__ import annotations

import json
import random
import struct
import time
import zipfile
from pathlib import Path

import pytest
from tests.torch_maker import imported, legacy, saved, several, state_dict, text, zipped

from ultralab.kernel.errors import FileDamaged, UltralabError, Unsupported
from ultralab.models.bundles import from_path
from ultralab.models.formats.base import Limits, ModelHeader
from ultralab.models.formats.gguf import FORMAT as GGUF
from ultralab.models.formats.pytorch import FORMAT

TENSORS = {"embed.weight": ("BFloat16Storage", (10, 4)), "norm.weight": ("FloatStorage", (4,))}
ALWAYS = "A pickle can run code when it is loaded; it was not loaded here."


def payload(path: Path) -> bytes:
    return imported("os", "system") + several(text(f"touch {path}")) + b"R"


def header(path: Path) -> ModelHeader:
    bundle = from_path(path)
    assert FORMAT.recognises(bundle)
    assert not GGUF.recognises(bundle)
    return FORMAT.read_header(bundle)


@pytest.mark.parametrize("make", [saved, legacy])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "模型 🦙.pt", "a.pth", "a.ckpt"])
def test_a_state_dict(make: type, name: str, tmp_path: Path) -> None:
    found = header(make(tmp_path / name, TENSORS))
    assert found.format == "pytorch"
    assert found.shape.parameters == 44
    assert found.tensor_types == {"BF16": 80, "F32": 16}
    assert (found.quantization, found.dtype, found.shape.weight_bytes) == ("BF16", "BF16", 96)
    assert found.bits_per_weight == 8 * 96 / 44
    assert (found.entry, found.files) == (name, (name,))
    assert found.unsafe == (ALWAYS,)


@pytest.mark.parametrize("how", ["zip", "packed", "legacy", "plain", "text", "shard", "training", "other pickle"])
def test_a_payload_is_listed_and_not_run(how: str, tmp_path: Path) -> None:
    created = tmp_path / "created"
    folder = tmp_path / "model"
    folder.mkdir()
    file = folder / "pytorch_model.bin"
    infected = state_dict(TENSORS, payload(created))
    if how == "zip":
        saved(file, TENSORS, payload(created))
    elif how == "packed":
        zipped(file, infected, TENSORS, packed=True)
    elif how == "legacy":
        legacy(file, TENSORS, payload(created))
    elif how == "plain":
        file.write_bytes(b"\x80\x02" + payload(created) + b".")
    elif how == "text":
        file.write_bytes(b"cos\nsystem\n(S'touch " + str(created).encode() + b"'\ntR.")
    elif how == "shard":
        saved(folder / "pytorch_model-00001-of-00002.bin", TENSORS)
        saved(folder / "pytorch_model-00002-of-00002.bin", TENSORS, payload(created))
    elif how == "training":
        saved(file, TENSORS)
        (folder / "training_args.bin").write_bytes(b"\x80\x02" + payload(created) + b".")
    else:
        zipped(file, state_dict(TENSORS), TENSORS)
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("other/data.pkl", infected)
    found = header(folder)
    assert found.unsafe[0] == ALWAYS
    assert any("would call os.system." in finding for finding in found.unsafe)
    assert not created.exists()


def test_shards_with_an_index_and_a_config(tmp_path: Path) -> None:
    names = [f"pytorch_model-0000{part}-of-00002.bin" for part in (1, 2)]
    for name in names:
        saved(tmp_path / name, TENSORS)
    saved(tmp_path / "consolidated.00.pth", TENSORS)
    weight_map = {"a": names[0], "b": names[1]}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    config = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 10,
              "num_key_value_heads": 1, "max_position_embeddings": 64, "torch_dtype": "bfloat16", "auto_map": {"A": "m.B"}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    (tmp_path / "modeling_x.py").write_text("import os")
    found = header(tmp_path)
    shape = found.shape
    assert (shape.architecture, shape.layers, shape.heads, shape.kv_heads, shape.key_dim) == ("llama", 2, 2, 1, 4)
    assert (shape.parameters, shape.trained_context, shape.vocabulary) == (88, 64, 10)
    assert found.files == ("config.json", *names, "pytorch_model.bin.index.json", "tokenizer_config.json")
    assert (found.entry, found.chat_template) == ("", "{{ messages }}")
    assert any("auto_map" in finding for finding in found.unsafe)
    (tmp_path / names[1]).unlink()
    with pytest.raises(FileDamaged, match=names[1]):
        FORMAT.read_header(from_path(tmp_path))


def test_a_missing_part_without_an_index(tmp_path: Path) -> None:
    saved(tmp_path / "pytorch_model-00002-of-00003.bin", TENSORS)
    saved(tmp_path / "pytorch_model-00003-of-00003.bin", TENSORS)
    with pytest.raises(FileDamaged, match=r"pytorch_model-00001-of-00003\.bin is missing"):
        header(tmp_path / "pytorch_model-00002-of-00003.bin")


@pytest.mark.parametrize("name", ["../x.bin", "/etc/passwd", "a\nb.bin", ""])
def test_an_index_that_points_outside(name: str, tmp_path: Path) -> None:
    saved(tmp_path / "pytorch_model.bin", TENSORS)
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(FileDamaged, match="points outside"):
        header(tmp_path)


def test_one_storage_counts_once(tmp_path: Path) -> None:
    one = state_dict({"a": ("FloatStorage", (4,))})
    twice = one.replace(b"u.", b"") + text("tied") + one[one.index(b"(X") :].split(text("a"), 1)[1]
    found = header(zipped(tmp_path / "a.pt", twice, {"a": ("FloatStorage", (4,))}))
    assert (found.shape.parameters, found.shape.weight_bytes) == (4, 16)


def test_data_without_tensors_has_no_parameters(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02}X\x01\x00\x00\x00aK\x01s.")
    found = header(tmp_path / "a.pkl")
    assert (found.shape.parameters, found.bits_per_weight, found.unsafe) == (0, 0.0, (ALWAYS,))


def test_what_cannot_be_followed_is_counted_by_its_sizes(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "torch_dtype": "float16"}))
    zipped(tmp_path / "pytorch_model.bin", b"\x80\x02\x82\x01.", TENSORS)
    found = header(tmp_path)
    assert (found.shape.parameters, found.tensor_types) == (48, {"F16": 96})
    assert len(found.unsafe) == 2


def test_others_are_not_recognised(tmp_path: Path) -> None:
    for name, content in {"a.bin": b"GGUF" + bytes(100), "b.bin": bytes(300), "c.bin": b"\x89PNG\r\n", "d.bin": b"",
                          "e.pt": b"hello world, this is no pickle", "f.txt": b"\x80\x02}."}.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert not FORMAT.recognises(from_path(tmp_path / name)), name


def test_safer_weights_beside_them_win(tmp_path: Path) -> None:
    saved(tmp_path / "pytorch_model.bin", TENSORS)
    (tmp_path / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    assert not FORMAT.recognises(from_path(tmp_path))


def test_the_limit_of_tensors(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.bin", TENSORS)
    with pytest.raises(Unsupported, match="too many tensors: 2; the limit is 1") as caught:
        FORMAT.read_header(from_path(path, Limits(tensors=1)))
    assert "models.max_tensors" in caught.value.hint


# archives that lie


def refused(path: Path, match: str) -> None:
    taken: list[float] = []
    while not taken or (taken[-1] >= 1 and len(taken) < 3):  # a busy machine makes processor time longer too
        started = time.process_time()
        with pytest.raises((FileDamaged, Unsupported), match=match):
            header(path)
        taken.append(time.process_time() - started)
    assert min(taken) < 1


def test_a_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(60_000_000))
    refused(path, "at most")


def test_a_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.bin", b"N" * 3_000_000, {}, packed=True)
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", 3_000_000), struct.pack("<I", 3_000)))
    refused(path, "has not the declared size")


def test_a_storage_that_is_shorter_or_missing(tmp_path: Path) -> None:
    claimed = {"a": ("FloatStorage", (1000,))}
    refused(zipped(tmp_path / "a.bin", state_dict(claimed), {"a": ("FloatStorage", (10,))}), "40 bytes instead of 4000")
    refused(zipped(tmp_path / "b.bin", state_dict(claimed), {}), "storage 0 is missing")
    whole = legacy(tmp_path / "c.bin", claimed).read_bytes()
    (tmp_path / "c.bin").write_bytes(whole[:-100])
    refused(tmp_path / "c.bin", "need 4008 bytes where 3908 are left")


def test_a_lying_archive_still_tells_what_it_would_do(tmp_path: Path) -> None:
    pickled = state_dict({"a": ("FloatStorage", (9,))}, payload(tmp_path / "created"))
    with pytest.raises(FileDamaged) as caught:
        header(zipped(tmp_path / "a.bin", pickled, {}))
    assert caught.value.data["unsafe"] == ["Loading a.bin would call os.system."]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.bin", TENSORS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data.pkl", state_dict(TENSORS, payload(tmp_path / "created")))
    refused(path, "two members are called archive/data.pkl")


def test_two_pickles_called_data(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.bin", TENSORS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b/data.pkl", state_dict(TENSORS))
    assert "a.bin holds 2 members called data.pkl." in header(path).unsafe


def test_names_that_lead_outside_and_code(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.bin", TENSORS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil", "x")
        archive.writestr("archive/code/model.py", "x")
    said = header(path).unsafe
    assert "a.bin holds members that would be unpacked outside their folder." in said
    assert "a.bin holds code for TorchScript." in said


def test_overlapping_members(tmp_path: Path) -> None:
    content = bytearray(saved(tmp_path / "a.bin", TENSORS).read_bytes())
    second = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    content[second + 42 : second + 46] = struct.pack("<I", 10)
    (tmp_path / "a.bin").write_bytes(content)
    refused(tmp_path / "a.bin", "overlaps")


def test_an_end_in_the_comment(tmp_path: Path) -> None:
    content = saved(tmp_path / "a.bin", TENSORS).read_bytes()
    at = content.index(b"PK\x05\x06")
    with_comment = content[: at + 20] + struct.pack("<H", 5) + b"hello"
    (tmp_path / "a.bin").write_bytes(with_comment)
    assert header(tmp_path / "a.bin").shape.parameters == 44
    fake = content[at:] + b"x"
    (tmp_path / "a.bin").write_bytes(content[: at + 20] + struct.pack("<H", len(fake)) + fake)
    refused(tmp_path / "a.bin", "its end is not where it says")


def test_large_sizes_as_zip64_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"a/data.pkl": state_dict(TENSORS), "a/data/0": bytes(80), "a/data/1": bytes(16)}.items():
            with archive.open(name, "w", force_zip64=True) as stream:
                stream.write(content)
    assert header(path).shape.parameters == 44


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"PK\x03\x04" + bytes(100), b"PK\x03\x04" + b"PK\x05\x06" * 20])
def test_an_archive_that_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    refused(tmp_path / "a.bin", "damaged")


def test_an_archive_without_a_pickle(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.bin", "w") as archive:
        archive.writestr("readme.txt", "x")
    refused(tmp_path / "a.bin", "0 pickles")


def test_mutants_never_crash(tmp_path: Path) -> None:
    rng = random.Random(4)
    created = tmp_path / "created"
    seeds = [
        make(tmp_path / "seed.bin", TENSORS, extra).read_bytes()
        for make in (saved, legacy)
        for extra in (b"", payload(created))
    ]
    path = tmp_path / "mutant.bin"
    refusals = 0
    for _each in range(1200):
        content = bytearray(rng.choice(seeds))
        for _change in range(rng.randint(1, 5)):
            at = rng.randrange(len(content))
            if rng.random() < 0.7:
                content[at] = rng.choice((rng.randrange(256), 0, 255))
            elif rng.random() < 0.5:
                del content[at : at + rng.randint(1, 40)]
            else:
                content[at:at] = content[at : at + rng.randint(1, 100)]
        path.write_bytes(content)
        bundle = from_path(path)
        started = time.process_time()
        try:
            if FORMAT.recognises(bundle):
                assert FORMAT.read_header(bundle).unsafe[0] == ALWAYS
        except UltralabError as error:
            refusals += bool(error.hint)
        assert time.process_time() - started < 1
    assert refusals > 100
    assert not created.exists()
