"""What llama.cpp's server says of its loading becomes our events."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from ultralab.engines import events
from ultralab.engines.llamacpp.progress import share_in
from ultralab.system import clock

SAID = b'cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model"],"current":"text_model","value":0.5}}\n'
DRAFT = SAID.replace(b'["text_model"]', b'["text_model","spec_model"]').replace(b':"text_model"', b':"spec_model"')


@pytest.mark.parametrize(
    ("line", "share"),
    [
        (SAID, 0.45),
        (SAID.replace(b"0.5", b"1.0"), 0.9),
        (SAID.replace(b"0.5", b"7"), 0.9),
        (SAID.replace(b"0.5", b"-1"), 0.0),
        (DRAFT, 0.675),
        (SAID.replace(b"loading", b"ready"), None),
        (SAID.replace(b'"text_model","value"', b'"another","value"'), None),
        (SAID.replace(b'["text_model"]', b"[]"), None),
        (SAID[:-5], None),
        (b"cmd_child_to_router:state:[]\n", None),
        (b"cmd_child_to_router:state:" + b"[" * 100_000, None),
        (b"cmd_child_to_router:ready\n", None),
        (b'{"event": "progress"}\n', None),
        (b"", None),
    ],
)
def test_a_line(line: bytes, share: float | None) -> None:
    assert share_in(line) == (share if share is None else pytest.approx(share))


def test_the_relay_makes_events_of_what_is_written_to_descriptor_1_and_gives_it_back() -> None:
    script = f"""
import os
from ultralab.engines import events
from ultralab.engines.llamacpp import progress
relay = progress.relay()
events.emit("started", pid=os.getpid())
os.write(1, b"noise\\n" + {SAID!r} + b"no end of line")
relay.end()
events.emit("ready", url="http://127.0.0.1:1")
os.write(1, b"later\\n")
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60).stdout
    found = [event for line in said.splitlines() if (event := events.parse(line))]
    assert [event.kind for event in found] == ["started", "progress", "ready"]
    assert found[1].share == pytest.approx(0.45)
    assert b"noise" not in said
    assert said.endswith(b"later\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_relay_that_is_gone_or_stuck_holds_nobody_up(number: int) -> None:
    script = f"""
import os
from ultralab.engines import events
from ultralab.engines.llamacpp import progress
relay = progress.relay()
os.kill(relay.pid, {int(number)})
os.set_blocking(1, False)
try:
    while True: os.write(1, b"nobody reads this any more\\n" * 100)
except OSError:
    os.set_blocking(1, True)
relay.end()
events.emit("ready", url="http://127.0.0.1:1")
"""
    begun = clock.monotonic()
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=60).stdout
    assert [found.kind for line in said.splitlines() if (found := events.parse(line))] == ["ready"]
    assert clock.monotonic() - begun < 10
