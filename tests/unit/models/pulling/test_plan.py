"""The plan of a pull, against hubs on loopback: what it costs to make, and what stands in the way."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tests import hub_servers as hubs
from tests.gguf_maker import STR, Tensor, gguf_bytes, small_keys, small_model
from tests.hf_maker import llama_config
from tests.safetensors_maker import safetensors_bytes

from ultralab.kernel.errors import AlreadyExists, DiskFull, NotFound
from ultralab.models import Library, pull
from ultralab.models.download import key_of
from ultralab.models.far.files import FIRST
from ultralab.models.formats.gguf import FORMAT as GGUF
from ultralab.models.formats.safetensors import FORMAT as SAFETENSORS
from ultralab.models.pulling.plan import Pulling, PullPlan
from ultralab.models.pulling.pull import plan_pull
from ultralab.models.sources.base import Access, RemoteFile
from ultralab.models.sources.huggingface import SOURCE as HUB
from ultralab.models.sources.path import SOURCE as PATH
from ultralab.models.store.volumes import Placement, prepare
from ultralab.system import files

SHARDS = 40
PER_SHARD = 564  # DeepSeek-V3: 91,991 tensors in 163 shards, headers of some 80 KB


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    for name in ("HF_ENDPOINT", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return Library(tmp_path / "lab")


def at(served: hubs.Served, volume: str | None = None) -> Pulling:
    return Pulling(Access(endpoints={"hf": (served.url,)}), volume=volume)


def many_shards() -> dict[str, bytes]:
    found: dict[str, bytes] = {"config.json": json.dumps(llama_config()).encode()}
    places: dict[str, str] = {}
    for shard in range(1, SHARDS + 1):
        name = f"model-{shard:05d}-of-{SHARDS:05d}.safetensors"
        shapes = {
            f"model.layers.{shard}.mlp.experts.{n}.down_proj.weight_scale_inv": ("F32", (1,)) for n in range(PER_SHARD)
        }
        shapes[f"model.layers.{shard}.weight"] = ("F32", (100_000,))
        found[name] = safetensors_bytes(shapes)
        places |= dict.fromkeys(shapes, name)
    return found | {"model.safetensors.index.json": json.dumps({"weight_map": places}).encode()}


def test_a_model_of_many_shards_costs_one_small_request_for_each(library: Library) -> None:
    with hubs.serve(hubs.HuggingFace(many_shards())) as served:
        plan = plan_pull(library, "hf:org/repo", [SAFETENSORS], [HUB], how=at(served))
    assert plan.inspection is not None
    assert plan.inspection.header.shape.parameters == SHARDS * (PER_SHARD + 100_000)
    asked = Counter(one.path for one in served.asked if one.path.endswith(".safetensors"))
    assert (len(asked), set(asked.values())) == (SHARDS, {1})
    assert {one.headers["range"] for one in served.asked if one.path in asked} == {f"bytes=0-{FIRST - 1}"}
    assert FIRST <= 256 * 1024


def test_too_little_room_is_an_obstacle_and_no_reason_to_say_nothing(tmp_path: Path, library: Library) -> None:
    narrow = Library(library.home, (), Placement(keep_free=10**18))
    with hubs.serve(hubs.HuggingFace({"Tiny-1B-Q4_0.gguf": small_model()})) as served:
        plan = plan_pull(narrow, "hf:org/repo", [GGUF], [HUB], how=at(served))
        assert (type(plan.obstacle), plan.inspection is None, plan.volume.name) == (DiskFull, False, "home")
        told: list[PullPlan] = []
        with pytest.raises(DiskFull):
            pull(narrow, "hf:org/repo", [GGUF], [HUB], how=at(served), told=told.append)
        assert [one.label for one in told] == ["Tiny-1B-Q4_0"]
        pull(library, "hf:org/repo", [GGUF], [HUB], how=at(served))
        assert plan_pull(narrow, "hf:org/repo", [GGUF], [HUB], how=at(served)).obstacle is None  # it is here
        again = pull(narrow, "hf:org/repo", [GGUF], [HUB], name="other", how=at(served))  # the bytes are here
    assert again.ref == "other:q4_0"


def test_what_an_interrupted_pull_left_does_not_hide_a_full_disk(tmp_path: Path, library: Library) -> None:
    path = tmp_path / "Tiny-1B-Q4_0.gguf"
    path.write_bytes(small_model())
    library.store.partial.mkdir(parents=True)
    begun = library.store.partial / f"{key_of(RemoteFile(path.name, path.as_uri(), None, ''))}.ready"
    begun.write_bytes(b"x" * 10)
    narrow = Library(library.home, (), Placement(keep_free=10**18))
    plan = plan_pull(narrow, str(path), [GGUF], [PATH])
    assert (plan.begun, type(plan.obstacle)) == (10, DiskFull)


def test_a_taken_name_is_told_before_the_download(tmp_path: Path, library: Library) -> None:
    first, second = small_model(), gguf_bytes(small_keys(general__name=(STR, "Another")), [Tensor("a.weight", (64,))])
    for folder, content in (("a", first), ("b", second), ("c", first)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Tiny-1B-Q4_0.gguf").write_bytes(content)
    record = pull(library, str(tmp_path / "a" / "Tiny-1B-Q4_0.gguf"), [GGUF], [PATH])
    plan = plan_pull(library, str(tmp_path / "b" / "Tiny-1B-Q4_0.gguf"), [GGUF], [PATH])
    assert (type(plan.obstacle), plan.here) == (AlreadyExists, None)
    assert plan_pull(library, str(tmp_path / "b" / "Tiny-1B-Q4_0.gguf"), [GGUF], [PATH], name="b").obstacle is None
    assert pull(library, str(tmp_path / "c" / "Tiny-1B-Q4_0.gguf"), [GGUF], [PATH]) == record  # the same bytes
    same_size = bytearray(first)
    same_size[-1] ^= 1
    (tmp_path / "c" / "Tiny-1B-Q4_0.gguf").write_bytes(same_size)
    with pytest.raises(AlreadyExists):  # known only when it was read
        pull(library, str(tmp_path / "c" / "Tiny-1B-Q4_0.gguf"), [GGUF], [PATH])
    assert list(library.store.partial.iterdir()) == []


def test_bytes_on_a_disk_that_is_not_plugged_in_are_not_fetched_again(tmp_path: Path, library: Library) -> None:
    (tmp_path / "disk").mkdir()
    library.store.root.mkdir(parents=True)
    volume = prepare(tmp_path / "disk", "ssd", library.home)
    two = Library(library.home, (volume,), Placement("ssd"))
    with hubs.serve(hubs.HuggingFace({"Tiny-1B-Q4_0.gguf": small_model()}, small=0)) as served:
        first = pull(two, "hf:org/repo", [GGUF], [HUB], how=at(served))
        (tmp_path / "disk").rename(tmp_path / "drawer")
        home_first = Library(library.home, (volume,))
        with pytest.raises(NotFound, match="ssd, which is not plugged in"):
            pull(home_first, "hf:org/repo", [GGUF], [HUB], how=at(served))
        again = pull(home_first, "hf:org/repo", [GGUF], [HUB], how=at(served, "home"))  # said to be wanted
    assert again.sha256 == first.sha256
    assert files.sha256_of(library.blobs / first.sha256) == first.sha256
