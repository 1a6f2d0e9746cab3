"""``ultralab engines``, ``chat`` and ``generate`` as a person uses them: without a lab, by pipes, at a terminal, with slips."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.acceptance.command import ULTRALAB, Done, environment, ultralab

from ultralab.engines import engine
from ultralab.engines.host import Request, loaded
from ultralab.engines.options import LoadOptions
from ultralab.engines.tiny import write_gguf, write_hf
from ultralab.engines.types import NO_SHAPE, ModelFile
from ultralab.memory import open_ledger

COMPUTES = pytest.mark.alone
"""Engines that compute are tested by themselves; what starts none, or the fake, runs beside others."""


@pytest.fixture
def env(tmp_path: Path) -> Mapping[str, str]:
    """No lab."""
    return environment(ULTRALAB_STATE=str(tmp_path / "state"), ULTRALAB_HOME=str(tmp_path / "no lab"))


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The tiny model under a name that needs care."""
    return write_gguf(tmp_path / "小 model 😀.gguf")


def run(env: Mapping[str, str], *arguments: str | Path) -> Done:
    return ultralab(*arguments, env=env)


def test_list_names_every_engine(env: Mapping[str, str]) -> None:
    done = run(env, "engines", "list", "--json")
    assert done.status == 0
    found = {one["engine"]: one for one in done.data}
    assert list(found) == ["llamacpp", "mlx", "torch", "ollama", "external", "fake"]
    assert found["llamacpp"]["ready"]
    assert found["llamacpp"]["default"]
    assert found["external"]["hint"]
    assert {"context", "parallel", "draft"} <= {option["option"] for option in found["llamacpp"]["options"]}
    shown = run(env, "engines", "list", "--options")
    assert shown.status == 0
    assert max(len(line) for line in shown.out.splitlines()) <= 80
    assert "speculative" in shown.out


@COMPUTES
def test_check_holds_engines_against_arithmetic(env: Mapping[str, str]) -> None:
    done = run(env, "engines", "check", "llamacpp", "mlx", "fake", "external", "--json")
    assert done.status == 0, done.out
    found = {one["engine"]: one for one in done.data}
    assert {name: one["status"] for name, one in found.items()} == {
        "llamacpp": "passed", "mlx": "passed", "fake": "passed", "external": "missing",
    }  # fmt: skip
    assert "48 tokens as computed" in found["llamacpp"]["detail"]
    assert "48 tokens as computed" in found["mlx"]["detail"]
    assert found["external"]["hint"]


@COMPUTES
def test_generate_is_the_same_each_time_and_in_json(env: Mapping[str, str], tiny: Path) -> None:
    words = ("generate", tiny, "--raw", "-p", "The quick brown fox jumps over", "--max-tokens", "16", "--threads", "1")
    first, again = (run(env, *words) for _ in range(2))
    assert (first.status, first.out) == (0, again.out)
    assert "16 written" in first.err
    data = run(env, *words, "--json").data
    assert data["text"].strip() == first.out.strip()
    assert (data["engine"], data["generated_tokens"], data["finish"]) == ("llamacpp", 16, "length")
    assert data["measured_by"] == "engine"


def test_generate_takes_a_pipe_and_a_file(env: Mapping[str, str], tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    write_gguf(model)
    (tmp_path / "question 问题.txt").write_text("你好吗？")
    words = [str(ULTRALAB), "generate", str(model), "--engine", "fake", "--quiet"]
    piped = subprocess.run(words, input="你好吗？", capture_output=True, text=True, env=env, check=True)
    filed = run(env, "generate", model, "--engine", "fake", "--quiet", "--file", tmp_path / "question 问题.txt")
    assert piped.stdout == filed.out == "You said: 你好吗？\n"
    assert piped.stderr == ""


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("generate", "MODEL", "-p", " "), "The prompt is empty.", "-p TEXT"),
        (("generate", "MODEL", "-p", "x", "--file", "y"), "--prompt and --file are two prompts.", "one of them"),
        (("generate", "MODEL", "-p", "x", "--engine", "lamacpp"), "Unknown engine: 'lamacpp'.", "llamacpp"),
        (("generate", "MODEL", "-p", "x", "--engine", "torch"), "", "pip install"),
        (("generate", "MODEL", "-p", "x", "--engine", "mlx"), "cannot load the format gguf", "llamacpp"),
        (("generate", "MODEL", "-p", "x", "--engine", "external"), "", "engines.external"),
        (("generate", "MODEL", "-p", "x", "--stop", ""), "An empty text would end every answer", "--help"),
        (("generate", "MODEL", "-p", "x", "--context", "1"), "'--context'", "--help"),
        (("generate", "MODEL", "-p", b"caf\xe9"), "bytes that are not UTF-8", "iconv"),
        (("generate", "MODEL", "-p", "x", "--weight-bits", "4"), "does not take the option weight_bits", "takes"),
        (("generate", "MODEL", "-p", "x", "--adapter", "a=b"), "what stands behind = must be a number", "0.5"),
        (("generate", "MODEL", "-p", "x", "--chat-template", "none.jinja"), "none.jinja is no file", "Jinja"),
        (("generate", "MODEL", "-p", "x", "--ubatch", "9", "--batch", "1", "--draft", "none.gguf"), "none.gguf", "init"),
        (("generate", "nothing.gguf", "-p", "x"), "'nothing.gguf' is no file", "ultralab init"),
        (("engines", "check", "olama"), "Unknown engine: 'olama'.", "ollama"),
        (("engines", "compare", "MODEL", "-p", ""), "The prompt is empty.", "-p TEXT"),
    ],
)  # fmt: skip
def test_slips_get_one_message_before_anything_starts(
    env: Mapping[str, str], tiny: Path, words: tuple[str | bytes, ...], message: str, hint: str
) -> None:
    done = run(env, *(str(tiny) if word == "MODEL" else os.fsdecode(word) for word in words), "--json")
    assert done.status == 2, done.err
    assert message in done.error["message"]
    assert hint in done.error["hint"]


def test_a_damaged_model_is_named(env: Mapping[str, str], tiny: Path) -> None:
    tiny.write_bytes(tiny.read_bytes()[:-50_000])
    done = run(env, "generate", tiny, "-p", "x", "--json")
    assert done.status == 1
    assert tiny.name in done.error["message"]
    assert left(env) == []


@COMPUTES
def test_compare_tells_who_agrees_and_why_not(env: Mapping[str, str], tiny: Path, tmp_path: Path) -> None:
    folder = write_hf(tmp_path / "tiny hf")
    done = run(
        env, "engines", "compare", tiny, "--with", folder, "-p", "def f(x):\n    return", "--raw", "--tokens", "12",
        "--engine", "llamacpp", "--engine", "mlx", "--json",
    )  # fmt: skip
    assert done.status == 0, done.err
    first, second = done.data["runs"]
    assert (first["engine"], second["engine"]) == ("llamacpp", "mlx")
    assert first["prompt_tokens"] == second["prompt_tokens"]
    assert (second["agreement"]["cause"], second["agreement"]["agreed"]) == ("same", 12)
    assert first["agreement"] is None
    other = run(env, "engines", "compare", tiny, "-p", "abc", "--raw", "--tokens", "4",
                "--engine", "llamacpp", "--engine", "fake", "--json").data  # fmt: skip
    assert other["runs"][1]["agreement"]["cause"] == "prompt"


def test_advise_gives_sources(env: Mapping[str, str], tiny: Path) -> None:
    done = run(env, "engines", "advise", tiny, "--context", "1024", "--machine", "m3-ultra-512", "--json")
    assert done.status == 0
    assert done.data["choice"]["engine"] == "llamacpp"
    assert all(note["source"] for note in done.data["notes"])
    every = run(env, "engines", "advise", "--machine", "m3-ultra-512", "--json").data
    assert {"ane", "wired"} <= {note["id"] for note in every["notes"]}
    shown = run(env, "engines", "advise", tiny, "--machine", "m3-ultra-512")
    assert max(len(line) for line in shown.out.splitlines()) <= 80


def test_chat_by_a_pipe_remembers(env: Mapping[str, str], tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    write_gguf(model)
    saved = tmp_path / "talk.json"
    words = [str(ULTRALAB), "chat", str(model), "--engine", "fake", "--system", "Be brief."]
    lines = f"Hello 😀\n\n/stats\nAnd again\n/save {saved}\n/quit\nnever\n"
    done = subprocess.run(words, input=lines, capture_output=True, text=True, env=env, check=True)
    assert done.stdout == "You said: Hello 😀\nYou said: And again\n"
    assert "Written:" in done.stderr
    roles = [one["role"] for one in json.loads(saved.read_text())["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant"]
    data = subprocess.run([*words, "--json"], input="a\nb\n", capture_output=True, text=True, env=env, check=True)
    assert [json.loads(line)["text"] for line in data.stdout.splitlines()] == ["You said: a", "You said: b"]


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, words: list[str], env: Mapping[str, str]) -> None:
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            os.execve(words[0], words, dict(env))
        self.seen = ""

    def until(self, text: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.screen], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.screen, 65536).decode(errors="replace")
                except OSError as error:
                    raise AssertionError(self.seen) from error

    def type(self, text: str) -> None:
        self.seen = ""
        os.write(self.screen, text.encode())

    def end(self) -> int:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if select.select([self.screen], [], [], 0.05)[0]:
                try:
                    os.read(self.screen, 65536)
                except OSError:
                    break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@COMPUTES
def test_ctrl_c_stops_an_answer_and_not_the_conversation(env: Mapping[str, str], tmp_path: Path) -> None:
    model = tmp_path / "slow.gguf"
    model.write_bytes(write_gguf(tmp_path / "m.gguf").read_bytes())
    terminal = Terminal(
        [str(ULTRALAB), "chat", str(model), "--threads", "1", "--max-tokens", "100000", "--context", "4000"],
        {**env, "TERM": "dumb"},
    )
    terminal.until(">>> ")
    terminal.type("hello\n")
    time.sleep(1.0)
    terminal.type("\x03")
    terminal.until(">>> ")
    terminal.type("/stats\n")
    terminal.until("stopped by you")
    terminal.until(">>> ")
    terminal.type("\x04")
    assert terminal.end() == 0
    assert left(env) == []


def test_the_prompt_of_a_conversation_forgives(env: Mapping[str, str], tiny: Path) -> None:
    terminal = Terminal([str(ULTRALAB), "chat", str(tiny), "--engine", "fake"], {**env, "TERM": "xterm"})
    terminal.until(">>> ")
    terminal.type("think aloud\n")
    terminal.until("\x1b[2mthink aloud\x1b[0m")
    terminal.until(">>> ")
    terminal.type("one \\\n")
    terminal.until("... ")
    terminal.type("two\n")
    terminal.until("You said: one \r\ntwo")
    terminal.until(">>> ")
    terminal.type("\x03")
    terminal.until("once more")
    terminal.type("still here\n")
    terminal.until("You said: still here")
    terminal.until(">>> ")
    terminal.type("half \\\n")
    terminal.until("... ")
    terminal.type("\x04")
    assert terminal.end() == 0
    assert left(env) == []


def test_a_server_of_somebody_else_is_talked_with(tmp_path: Path) -> None:
    """The fake engine, held by this process, stands for it. The lab's path has a space, Chinese and an emoji."""
    home = tmp_path / "我的 lab 😀"
    env = environment(ULTRALAB_STATE=str(tmp_path / "state"), ULTRALAB_HOME=str(home))
    assert run(env, "init", home).status == 0
    model = ModelFile(write_gguf(tmp_path / "m.gguf"), "m", "gguf", NO_SHAPE)
    ledger = open_ledger(tmp_path / "ledger", 10**9)
    with loaded(engine("fake"), Request(model, LoadOptions()), ledger=ledger, log=tmp_path / "log") as running:
        address = f'["studio={running.endpoint.base_url}/v1", "gone=http://127.0.0.1:9"]'
        assert run(env, "config", "set", "engines.external", address).status == 0
        refused = run(env, "generate", "default", "--engine", "external:studio", "-p", "x", "--json").error
        assert refused["hint"] == "The server wants a key. Store it: ultralab secrets set engines.external.studio"
        words = [str(ULTRALAB), "secrets", "set", "engines.external.studio"]
        subprocess.run(words, input=running.endpoint.secret, text=True, env=env, check=True, capture_output=True)
        seen = {one["engine"]: one["status"] for one in run(env, "engines", "check", "external", "--json").data}
        assert seen == {"external:studio": "passed", "external:gone": "missing"}
        assert run(env, "config", "set", "engines.default", "external:studio").status == 0
        assert run(env, "generate", "default", "-p", "你好").out == "You said: 你好\n"
        words = [str(ULTRALAB), "chat", "default", "--quiet"]
        talked = subprocess.run(words, input="a\nb\n", text=True, env=env, check=True, capture_output=True)
        assert (talked.stdout, talked.stderr) == ("You said: a\nYou said: b\n", "")
        beside = run(env, "engines", "compare", model.path, "--with", "default", "-p", "hello", "--tokens", "20",
                     "--engine", "fake", "--engine", "external:studio", "--json").data["runs"]  # fmt: skip
        assert [(one["engine"], one["model"]) for one in beside][1] == ("external:studio", "default")
        assert beside[1]["agreement"]["by_tokens"] is False


@COMPUTES
def test_sigterm_in_the_middle_leaves_nothing(env: Mapping[str, str], tiny: Path) -> None:
    words = [
        str(ULTRALAB),
        "generate",
        str(tiny),
        "-p",
        "x",
        "--context",
        "4000",
        "--threads",
        "1",
        "--max-tokens",
        "3900",
    ]
    with subprocess.Popen([*words, "--json"], env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 30
        while not left(env) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)
    assert process.returncode == 130
    assert left(env) == []


def left(env: Mapping[str, str]) -> list[Any]:
    """Engines that work with this test's state."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                "ultralab.engines" in " ".join(process.cmdline())
                and process.environ().get("ULTRALAB_STATE") == env["ULTRALAB_STATE"]
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found
