"""What a job must be to make sense."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ultralab.jobs.sense import default_name, fit_name, require_sense
from ultralab.jobs.types import JobSpec
from ultralab.kernel.errors import RequestError
from ultralab.kernel.text import display_width

SPEC = JobSpec(("true",), "/", "train", timeout=1.5)


@pytest.mark.parametrize(
    "name", ["train", "实验" * 25, "x" * 100, "17b", "Last", "lasting", "a b", "👩‍🔬", "-", "'quoted'", "1.5"]
)
def test_a_name_that_can_be_used(name: str) -> None:
    require_sense(replace(SPEC, name=name))
    assert fit_name(name) == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "'' cannot be a job's name: it is empty."),
        ("  ", "'  ' cannot be a job's name: it is empty."),
        ("0017", "'0017' cannot be a job's name: only digits mean a job's number."),
        ("١٧", "'١٧' cannot be a job's name: only digits mean a job's number."),
        ("last", "'last' cannot be a job's name: it means the newest job."),
        ("a\nb", "'a\\nb' cannot be a job's name: it has control characters."),
        ("\x1b[31m", "'\\x1b[31m' cannot be a job's name: it has control characters."),
        (os.fsdecode(b"\xff"), "'\\udcff' cannot be a job's name: it has control characters."),
        ("x" * 101, f"'{'x' * 58}… cannot be a job's name: it is too long."),
        ("实" * 51, f"'{'实' * 29}… cannot be a job's name: it is too long."),
    ],
)
def test_a_name_that_cannot(name: str, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        require_sense(replace(SPEC, name=name))
    assert (caught.value.message, caught.value.hint) == (problem, "Choose another one, of at most 100 columns.")


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (replace(SPEC, argv=()), "The command is empty: its first word is the program to run."),
        (replace(SPEC, argv=("", "x")), "The command is empty: its first word is the program to run."),
        (replace(SPEC, kind=""), "'' cannot be a kind of jobs."),
        (replace(SPEC, kind="My Kind"), "'My Kind' cannot be a kind of jobs."),
        (replace(SPEC, timeout=0.0), "A job needs some time to run: --timeout must be more than 0."),
    ],
)
def test_what_makes_no_sense(spec: JobSpec, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        require_sense(spec)
    assert (caught.value.message, caught.value.hint != "") == (problem, True)


@given(st.text(st.characters(exclude_categories=()), max_size=150))
def test_of_every_text_a_name_can_be_made(text: str) -> None:
    name = fit_name(text)
    require_sense(replace(SPEC, name=name))
    assert 1 <= display_width(name) <= 100 or name.strip()


def test_a_job_is_called_as_its_program() -> None:
    assert [default_name(argv) for argv in (("/usr/bin/python", "x"), ("/usr/bin/last",), ("./7",), ("/",), ())] == [
        *("python", "job-last", "job-7", "-", "-"),
    ]
