"""Why a job waits: one sentence and its data for every reason there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from tests.unit.jobs.scheduling.plan_sample import berlin

from ultralab.jobs.scheduling.reasons import FIELDS, Code, Reason, sentence, to_data
from ultralab.kernel.units import GIB

AT = datetime(2026, 11, 23, 21, 0, tzinfo=UTC).timestamp()

CASES: list[tuple[Reason, str, dict[str, Any]]] = [
    (Reason("held"), "Is held back until its owner releases it.", {}),
    (
        Reason("too_large", need=600 * GIB, limit=480 * GIB),
        (
            "Can never start: it needs 600 GiB of memory, and all jobs together may have 480 GiB; "
            "cancel it and submit it with less."
        ),
        {"need": 600 * GIB, "limit": 480 * GIB},
    ),
    (
        Reason("dependency", jobs=(12,), state="running"),
        "Waits for job 12 to succeed.",
        {"jobs": [12], "state": "running", "how": "success"},
    ),
    (
        Reason("dependency", jobs=(12,), state="held", how="end"),
        "Waits for job 12 to end.",
        {"jobs": [12], "state": "held", "how": "end"},
    ),
    (
        Reason("dependency_failed", jobs=(12,), state="failed"),
        "Needs the success of job 12, which failed: retry that one, or cancel this one.",
        {"jobs": [12], "state": "failed"},
    ),
    (
        Reason("dependency_failed", jobs=(12,), state="cancelled"),
        "Needs the success of job 12, which was cancelled: retry that one, or cancel this one.",
        {"jobs": [12], "state": "cancelled"},
    ),
    (
        Reason("dependency_failed", jobs=(12,), state="interrupted"),
        "Needs the success of job 12, which was interrupted: retry that one, or cancel this one.",
        {"jobs": [12], "state": "interrupted"},
    ),
    (
        Reason("dependency_failed", jobs=(41, 40), state="failed"),
        "Waits for job 41, which waits for job 40, which failed: retry that one, or cancel this.",
        {"jobs": [41, 40], "state": "failed"},
    ),
    (
        Reason("dependency_failed", jobs=(41, 40), state="cancelled"),
        "Waits for job 41, which waits for job 40, which was cancelled: retry that one, or cancel this.",
        {"jobs": [41, 40], "state": "cancelled"},
    ),
    (
        Reason("dependency_failed", jobs=(41, 40), state="interrupted"),
        "Waits for job 41, which waits for job 40, which was interrupted: retry that one, or cancel this.",
        {"jobs": [41, 40], "state": "interrupted"},
    ),
    (
        Reason("dependency_missing", jobs=(12,)),
        "Waits for job 12, which is not in the queue any more: cancel this one.",
        {"jobs": [12]},
    ),
    (
        Reason("delayed", at=AT + 5),
        "Starts on 2026-11-23 at 22:00:05 at the earliest.",
        {"at": "2026-11-23T22:00:05+01:00"},
    ),
    (
        Reason("delayed", at=AT),
        "Starts on 2026-11-23 at 22:00 at the earliest.",
        {"at": "2026-11-23T22:00:00+01:00"},
    ),
    (Reason("night", at=AT), "Starts when the night window opens, at 22:00.", {"at": "2026-11-23T22:00:00+01:00"}),
    (Reason("pressure"), "Nothing starts while the system is short of memory.", {}),
    (
        Reason("disk_low", free=5 * GIB, limit=50 * GIB),
        "Nothing starts while the disk is nearly full: 5.00 GiB free, 50.0 GiB are kept in reserve.",
        {"free": 5 * GIB, "limit": 50 * GIB},
    ),
    (Reason("parallel", limit=4), "Waits for its turn: no more than 4 run at once.", {"limit": 4}),
    (
        Reason("kind", kind="bench", limit=1),
        "Waits for its turn: no more than 1 of the kind bench run at once.",
        {"kind": "bench", "limit": 1},
    ),
    (
        Reason("gpu", jobs=(12,), gpu="shared"),
        "Waits for the GPU, which job 12 has for itself.",
        {"jobs": [12], "gpu": "shared"},
    ),
    (
        Reason("gpu", jobs=(12, 13), gpu="exclusive"),
        "Waits to have the GPU for itself: in use by job 12, job 13.",
        {"jobs": [12, 13], "gpu": "exclusive"},
    ),
    (
        Reason("network", limit=2),
        "Waits for the network: no more than 2 use it at once.",
        {"limit": 2},
    ),
    (
        Reason("memory", need=48 * GIB, free=12 * GIB, jobs=(12, 9), held=(64 * GIB, GIB)),
        "Waits for memory: 48.0 GiB needed, 12.0 GiB free (job 12 holds 64.0 GiB, job 9 holds 1.00 GiB).",
        {"need": 48 * GIB, "free": 12 * GIB, "jobs": [12, 9], "held": [64 * GIB, GIB], "held_by": []},
    ),
    (
        Reason("memory", need=15 * GIB, free=6 * GIB, held_by=(("a model of process 4711", 40 * GIB),)),
        "Waits for memory: 15.0 GiB needed, 6.00 GiB free (a model of process 4711 holds 40.0 GiB).",
        {
            "need": 15 * GIB,
            "free": 6 * GIB,
            "jobs": [],
            "held": [],
            "held_by": [{"holder": "a model of process 4711", "bytes": 40 * GIB}],
        },
    ),
    (
        Reason("memory", need=48 * GIB, free=-GIB),
        "Waits for memory: 48.0 GiB needed, 0 B free.",
        {"need": 48 * GIB, "free": -GIB, "jobs": [], "held": [], "held_by": []},
    ),
    (
        Reason("disk", need=48 * GIB, free=-GIB),
        "Waits for disk space: 48.0 GiB needed, 0 B free for jobs.",
        {"need": 48 * GIB, "free": -GIB},
    ),
]

WANTS: dict[Code, str] = {
    "kind": "is of the same kind",
    "gpu": "needs the GPU",
    "network": "needs the network",
    "memory": "needs memory",
    "disk": "needs disk space",
}
CASES += [
    (
        Reason("overtaking", jobs=(12,), what=what),
        f"Lets job 12 go first, which {wants} and has waited too long to be overtaken.",
        {"jobs": [12], "what": what},
    )
    for what, wants in WANTS.items()
]


@pytest.fixture(autouse=True)
def _berlin() -> Iterator[None]:
    with berlin():
        yield


@pytest.mark.parametrize(("reason", "text", "data"), CASES)
def test_each_reason_in_words_and_as_data(reason: Reason, text: str, data: dict[str, Any]) -> None:
    assert sentence(reason) == text
    assert json.loads(json.dumps(to_data(reason))) == {"code": reason.code, **data}


def test_there_is_a_case_for_every_code_and_every_field() -> None:
    assert {reason.code for reason, _text, _data in CASES} == set(get_args(Code)) == set(FIELDS)
    assert {name for names in FIELDS.values() for name in names} == {item.name for item in fields(Reason)} - {"code"}
