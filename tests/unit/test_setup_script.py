"""What the set-up decides: pip's settings for uv, causes of failures, which interpreter fits, what is still current."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import addresses  # noqa: E402 - scripts are no package
import installer  # noqa: E402
import setup as setup_script  # noqa: E402

MIRROR = "https://mirror.example/simple"
PLAIN = {"HOME": "/nowhere", "XDG_CONFIG_HOME": "/nowhere"}


@pytest.mark.parametrize(
    ("environment", "pip", "expected"),
    [
        ({}, {}, {"UV_HTTP_TIMEOUT": "120"}),
        ({}, {"index-url": MIRROR, "timeout": "9"}, {"UV_DEFAULT_INDEX": MIRROR, "UV_HTTP_TIMEOUT": "9"}),
        (
            {"UV_INDEX": "https://other.example"},
            {"index-url": MIRROR},
            {"UV_INDEX": "https://other.example", "UV_HTTP_TIMEOUT": "120"},
        ),
        ({}, {"cert": "/ca.pem"}, {"SSL_CERT_FILE": "/ca.pem", "UV_HTTP_TIMEOUT": "120"}),
        (
            {"SSL_CERT_FILE": "/mine.pem"},
            {"cert": "/ca.pem"},
            {"SSL_CERT_FILE": "/mine.pem", "UV_HTTP_TIMEOUT": "120"},
        ),
        ({}, {"proxy": "http://p.example"}, {"ALL_PROXY": "http://p.example", "UV_HTTP_TIMEOUT": "120"}),
        ({"VIRTUAL_ENV": "/x", "PYTHONPATH": "/y"}, {}, {"UV_HTTP_TIMEOUT": "120"}),
    ],
)
def test_uv_learns_what_pip_knows_unless_it_knows_better(
    environment: dict[str, str], pip: dict[str, str], expected: dict[str, str]
) -> None:
    assert installer.uv_environment({**PLAIN, **environment}, pip) == {**PLAIN, **expected}


def test_extra_indexes_are_passed_only_where_uv_has_none() -> None:
    pip = {"extra-index-url": f"{MIRROR}\nfile:///wheels", "find-links": "/a /b"}
    assert installer.extra_indexes(PLAIN, pip) == {
        "UV_INDEX": f"{MIRROR} file:///wheels",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/a,/b",
    }
    assert installer.extra_indexes({**PLAIN, "UV_DEFAULT_INDEX": MIRROR}, pip) == {}


def test_an_index_in_the_configuration_of_uv_wins(tmp_path: Path) -> None:
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").write_text(f'[[index]]\nurl = "{MIRROR}"\n')
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert installer.uv_environment(environment, {"index-url": "https://pip.example"}) == {
        **environment,
        "UV_HTTP_TIMEOUT": "120",
    }


@pytest.mark.parametrize(
    ("output", "start"),
    [
        ("cause: No space left on device (os error 28)", "The disk is full."),
        ("error: dns error: failed to lookup address information", "The Python package index"),
        ("invalid peer certificate: UnknownIssuer", "A certificate was not accepted."),
        ("Hash mismatch for `click==8.5.1`", "A download is not what the lock file promises"),
        ("Permission denied (os error 13)", "The folder cannot be written"),
        ("something nobody foresaw", "The lines above say why."),
    ],
)
def test_a_failure_is_explained_by_its_cause(output: str, start: str) -> None:
    first, second = installer.explain("It failed.", output).splitlines()
    assert first == "It failed."
    assert second.startswith(start)


@pytest.mark.parametrize(
    ("answer", "version"),
    [("uv 0.13.9 (x86_64)", (0, 13)), ("pip 9.0.3 from /usr", (9, 0)), ("", (0, 0)), (None, (0, 0))],
)
def test_versions_are_read_from_what_programs_say(answer: str | None, version: tuple[int, int]) -> None:
    assert installer.version_in(answer) == version


@pytest.mark.parametrize(
    ("facts", "fits"),
    [
        (("3", "11", "arm64", "cpython"), True),
        (("3", "14", "arm64", "cpython"), True),
        (("3", "10", "arm64", "cpython"), False),
        (("3", "15", "arm64", "cpython"), False),
        (("3", "11", "arm64", "pypy"), False),
    ],
)
def test_which_interpreter_fits(facts: tuple[str, str, str, str], fits: bool) -> None:
    assert setup_script.fits(*facts) is fits


def test_addresses_are_found_in_any_file_and_links_in_lock_files(tmp_path: Path) -> None:
    host = "files.python" + "hosted.org"
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "runtime.txt").write_text("--find-links wheels\nclick==8.5.1\n")
    (tmp_path / "page.md").write_text(f"see https://example.org\nand {host}/x\n")
    assert addresses.offences(tmp_path) == [
        f"page.md:2: and {host}/x",
        "requirements/runtime.txt:1: --find-links wheels",
    ]
