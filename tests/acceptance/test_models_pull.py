"""``ultralab models pull`` as a person uses it, against hubs on this machine: every source, before, while and after."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests import hub_servers as hubs
from tests.acceptance.command import Done, environment, finish, half_written, start, ultralab, wait_until
from tests.fault_server import Site
from tests.fault_server import serve as serve_file
from tests.gguf_maker import Tensor, gguf_bytes, small_keys, small_model, split_model
from tests.hf_maker import hf_llama

from ultralab.models.far.files import FIRST

NOWHERE = "http://127.0.0.1:9"
LARGE = gguf_bytes(small_keys(), [Tensor("blk.0.ffn_up.weight", (64, 40_000)), Tensor("blk.0.attn_q.weight", (64, 64))])
HUGE = gguf_bytes(small_keys(), [Tensor("blk.0.ffn_up.weight", (64, 200_000)), Tensor("blk.0.attn_q.weight", (64, 64))])


@dataclass
class Lab:
    """A lab, and an environment in which no address of this machine's person counts and nobody outside is reached."""

    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str | Path, **more: str) -> Done:
        return ultralab(*arguments, "--home", self.home, env={**self.env, **more})

    def models(self) -> dict[str, Mapping[str, object]]:
        return {one["ref"]: one for one in self.run("models", "list", "--json").data}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    quiet = {"HTTPS_PROXY": NOWHERE, "https_proxy": NOWHERE, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    env = environment(HF_HOME=str(tmp_path / "hf"), ULTRALAB_STATE=str(tmp_path / "state"), **quiet)
    for name in ("HF_TOKEN", "HF_ENDPOINT", "GITHUB_TOKEN", "GH_TOKEN", "MODELSCOPE_API_TOKEN"):
        env.pop(name, None)
    home = tmp_path / "lab 实验室"
    assert ultralab("init", home, "--lang", "en", env=env).status == 0
    return Lab(home, env)


def folder(path: Path, **config: object) -> dict[str, bytes]:
    """The files of a SafeTensors repository."""
    hf_llama(path)
    about = {**json.loads((path / "config.json").read_text()), **config}
    return {one.name: one.read_bytes() for one in path.iterdir()} | {"config.json": json.dumps(about).encode()}


@contextmanager
def hugging_face(*repositories: hubs.HuggingFace) -> Iterator[hubs.Served]:
    """A hub with several repositories."""

    def hub(asked: hubs.Asked) -> hubs.Reply:
        for one in repositories:
            if asked.path.startswith((f"/api/models/{one.repository}", f"/{one.repository}/")):
                return one(asked)
        return repositories[0](asked)

    with hubs.serve(hub) as served:
        yield served


def asked_bytes(served: hubs.Served, ending: str) -> int:
    """Bytes of files of that ending that were asked for."""
    count = 0
    for asked in served.asked:
        if asked.path.endswith(ending) and "/resolve/" in asked.path:
            first, _dash, last = asked.headers["range"].removeprefix("bytes=").partition("-")
            count += int(last) - int(first) + 1
    return count


def test_a_plan_fetches_no_weights_and_a_second_pull_nothing_at_all(lab: Lab) -> None:
    hub = hubs.HuggingFace({"Tiny-7B-Q4_0.gguf": LARGE, "Tiny-7B-Q8_0.gguf": LARGE + b"\0" * 32, "README.md": b"# x"})
    with hugging_face(hub) as served:
        several = lab.run("models", "pull", "hf:org/repo", "--json", HF_ENDPOINT=served.url)
        assert (several.status, several.error["data"]["choices"]) == (2, ["Tiny-7B-Q4_0", "Tiny-7B-Q8_0"])
        planned = lab.run("models", "pull", "hf:org/repo:Q4_0", "--dry-run", "--json", HF_ENDPOINT=served.url).data
        assert (planned["name"], planned["variant"], planned["fetch_bytes"]) == ("tiny-7b", "q4_0", len(LARGE))
        assert (planned["model"]["architecture"], planned["fit"]["fits"]) == ("llama", True)
        assert asked_bytes(served, ".gguf") <= 4 * FIRST
        assert half_written(lab.home) == []
        pulled = lab.run("models", "pull", "hf:org/repo:Q4_0", "--json", HF_ENDPOINT=served.url).data
        assert pulled["files"] == [{"name": "Tiny-7B-Q4_0.gguf", "size": len(LARGE), "sha256": hubs.sha256(LARGE)}]
        served.asked.clear()
        again = lab.run("models", "pull", "HF:org/repo:Q4_0", "--json", HF_ENDPOINT=served.url).data
        assert (again, asked_bytes(served, ".gguf")) == (pulled, 0)
        assert not [path for path in served.paths if "harness" in path]  # the library's own telemetry
    offline = lab.run("models", "pull", "hf:org/repo:Q4_0", "--json", HF_ENDPOINT=NOWHERE)
    assert offline.data == pulled
    assert half_written(lab.home) == []


def test_models_of_many_files(lab: Lab, tmp_path: Path) -> None:
    plain = folder(tmp_path / "a" / "Two-1B-Instruct")
    packed = folder(tmp_path / "b", quantization={"group_size": 64, "bits": 4})
    parts = {f"Q4_K_M/{name}": content for name, content in split_model(3, "tiny-Q4_K_M").items()}
    repositories = [
        hubs.HuggingFace(plain, "org/Two-1B-Instruct"),
        hubs.HuggingFace(packed, "mlx-community/Llama-3.2-1B-Instruct-4bit"),
        hubs.HuggingFace(parts, "org/Tiny-GGUF"),
    ]
    with hugging_face(*repositories) as served:
        for one in repositories:
            done = lab.run("models", "pull", f"hf:{one.repository}", "--json", HF_ENDPOINT=served.url)
            assert done.status == 0, done.err
    assert lab.run("models", "pull", tmp_path / "a" / "Two-1B-Instruct", "--name", "mine").status == 0
    found = lab.models()
    assert {ref: (one["format"], len(lab_files(lab, ref))) for ref, one in found.items()} == {
        "two-1b-instruct:f32": ("safetensors", 5),
        "llama-3.2-1b-instruct:f32": ("mlx", 5),
        "tiny:q4_k_m": ("gguf", 3),
        "mine:f32": ("safetensors", 5),
    }
    blobs = lab.home / "store" / "blobs" / "sha256"
    assert {hubs.sha256(content) for content in plain.values()} <= {path.name for path in blobs.iterdir()}
    assert half_written(lab.home) == []


def lab_files(lab: Lab, ref: str) -> list[Path]:
    name, _colon, variant = ref.partition(":")
    return [path for path in lab.home.glob(f"store/tree/*/{name}/{variant}/**/*") if path.is_file()]


def test_the_other_sources(lab: Lab, tmp_path: Path) -> None:
    model = small_model()
    github = hubs.GitHub({"v1": {"Git-1B-Q4_0.gguf": model}})

    def github_and_its_files(asked: hubs.Asked) -> hubs.Reply:
        return hubs.Reply(body=model) if "/releases/download/" in asked.path else github(asked)

    site = Site(model, etag='"1"')
    with (
        hubs.serve(hubs.ModelScope({"Scope-1B-Q4_0.gguf": model}, members=())) as modelscope,
        hubs.serve(github_and_its_files) as releases,
        hubs.serve(hubs.OllamaRegistry({"model": model})) as ollama,
        serve_file(site),
    ):
        github.address = releases.url
        mirrors = [f"modelscope={modelscope.url}", f"github={releases.url}", f"ollama={ollama.url}"]
        assert lab.run("config", "set", "models.mirrors", ",".join(mirrors)).status == 0
        for ref, name in (
            ("modelscope:org/repo", "scope-1b:q4_0"),
            ("github:owner/repo@v1:*.gguf", "git-1b:q4_0"),
            ("ollama:tiny", "tiny-latest:q4_0"),
            (site.url.replace("file.gguf", "Web-1B-Q4_0.gguf?download=true"), "web-1b:q4_0"),
        ):
            done = lab.run("models", "pull", ref, "--json", MODELSCOPE_API_TOKEN="ms-secret", GITHUB_TOKEN="gh-secret")
            assert (done.status, done.data["ref"] if done.out else done.err) == (0, name)
            assert done.data["sha256"] == hubs.sha256(model)
        asked = [*modelscope.asked, *releases.asked, *ollama.asked]
        assert not [one for one in asked if "secret" in str(one.headers)]  # a mirror gets no token
    assert len(list((lab.home / "store" / "blobs" / "sha256").iterdir())) == 1  # one copy of every byte


def test_tokens_go_where_they_belong_and_a_mirror_stands_in(lab: Lab, tmp_path: Path) -> None:
    hub = hubs.HuggingFace({"Tiny-1B-Q4_0.gguf": LARGE}, gated=True, members=("hf_good",))
    with hugging_face(hub) as served:
        stranger = lab.run("models", "pull", "hf:org/repo", "--json", HF_ENDPOINT=served.url)
        assert (stranger.status, stranger.error["kind"]) == (2, "RequestError")
        assert "ultralab secrets set hf" in stranger.error["hint"]
        broken = lab.run("models", "pull", "hf:org/repo", HF_ENDPOINT=served.url, HF_TOKEN="hf_se\ncret")
        assert (broken.status, "cret" in broken.out + broken.err) == (2, False)
        member = lab.run("models", "pull", "hf:org/repo", "-q", HF_ENDPOINT=served.url, HF_TOKEN="hf_good")
        assert member.status == 0, member.err
        assert {asked.token for asked in served.asked if "/resolve/" in asked.path} == {"hf_good"}
    assert not [path for path in lab.home.rglob("*") if path.is_file() and b"hf_good" in path.read_bytes()[:1_000_000]]
    with hugging_face(hubs.HuggingFace({"Mirror-1B-Q4_0.gguf": LARGE})) as mirror:
        assert lab.run("config", "set", "models.mirrors", f"hf={mirror.url}").status == 0
        done = lab.run("models", "pull", "hf:org/repo", "-q", HF_ENDPOINT=NOWHERE, HF_TOKEN="hf_good")
        assert done.status == 0, done.err
        assert {asked.token for asked in mirror.asked} == {""}


def test_a_killed_pull_goes_on_and_two_at_once_fetch_once(lab: Lab) -> None:
    site = Site(HUGE, etag='"1"', rate=6_000_000)
    with serve_file(site):
        ref = site.url.replace("file.gguf", "Huge-1B-Q4_0.gguf")
        first = start("models", "pull", ref, "--json", "--home", lab.home, env=lab.env)
        wait_until(lambda: site.sent > 20_000_000)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        before, site.rate = site.sent, 0
        planned = lab.run("models", "pull", ref, "--dry-run", "--json").data
        assert planned["begun_bytes"] > 8_000_000
        two = [start("models", "pull", ref, "--json", "--home", lab.home, env=lab.env) for _each in range(2)]
        done = [finish(one) for one in two]
        assert [one.status for one in done] == [0, 0], [one.err for one in done]
        assert done[0].data == done[1].data
        assert site.sent - before <= len(HUGE) - planned["begun_bytes"] + 3 * FIRST + 3 * 8 * 1024 * 1024
    assert list(lab.models()) == ["huge-1b:q4_0"]
    assert half_written(lab.home) == []


def test_what_stands_in_the_way_is_said_before_anything_is_fetched(lab: Lab, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    assert lab.run("models", "volumes", "add", "ssd", disk).status == 0
    hub = hubs.HuggingFace({"Tiny-7B-Q4_0.gguf": LARGE})
    with hugging_face(hub) as served:

        def pull(*more: str) -> Done:
            return lab.run("models", "pull", "hf:org/repo", "--json", *more, HF_ENDPOINT=served.url)

        assert lab.run("config", "set", "models.keep_free", "900TB").status == 0
        planned = pull("--dry-run")
        assert (planned.status, planned.error["kind"], planned.data["fetch_bytes"]) == (1, "DiskFull", len(LARGE))
        assert pull().error["kind"] == "DiskFull"
        looked = lab.run("models", "inspect", "hf:org/repo", "--json", HF_ENDPOINT=served.url)
        assert looked.data["architecture"] == "llama"  # needs no room
        assert lab.run("config", "set", "models.keep_free", "0").status == 0
        assert pull("--volume", "ssd").status == 0
        shutil.move(disk, tmp_path / "in the drawer")
        served.asked.clear()
        away = pull()
        assert (away.status, away.error["kind"], away.error["data"]["volume"]) == (2, "NotFound", "ssd")
        assert asked_bytes(served, ".gguf") <= 4 * FIRST
        shutil.move(tmp_path / "in the drawer", disk)
        assert pull().status == 0
    with hugging_face(hubs.HuggingFace({"Tiny-7B-Q4_0.gguf": HUGE}, "new/repo")) as served:
        other = lab.run("models", "pull", "hf:new/repo", "--json", HF_ENDPOINT=served.url)
        assert (other.status, other.error["kind"]) == (2, "AlreadyExists")
        assert asked_bytes(served, ".gguf") <= 4 * FIRST
    assert half_written(lab.home) == []
