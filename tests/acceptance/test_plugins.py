"""A third-party package adds one of everything: built, installed beside ultralab, found and used in a new process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "tests" / "plugin_example"
WORDS = EXAMPLE / "src" / "ultralab_example" / "three.words"

ADDED = {
    "ultralab.engines": "parrot",
    "ultralab.model_sources": "wordlist",
    "ultralab.model_formats": "words",
    "ultralab.samplers": "load",
    "ultralab.environment_templates": "words",
    "ultralab.recipes": "try_words",
}

FIND = """
import json
from ultralab.kernel.plugins import GROUPS, installed
found = {group: {p.name: [p.distribution, p.version] for p in installed(group)} for group in GROUPS}
print(json.dumps(found))
"""

USE = """
import json, os, pathlib, sys
from ultralab.kernel.plugins import load
from ultralab.models.bundles import from_path

engine = load("ultralab.engines", "parrot", "engine")
file = load("ultralab.model_sources", "wordlist", "source").resolve("three").files[0]
path = pathlib.Path(sys.argv[1])
words = load("ultralab.model_formats", "words", "format")
sampler = load("ultralab.samplers", "load", "sampler")(os.getpid())
template = load("ultralab.environment_templates", "words", "template")
recipe = load("ultralab.recipes", "try_words", "recipe")
print(json.dumps({
    "engine": [engine.name, sorted(engine.formats), engine.availability().ready],
    "source": [file.name, file.size, file.sha256],
    "format": [words.recognises(from_path(path)), words.read_header(from_path(path)).shape.vocabulary],
    "sampler": sorted(sampler.sample()),
    "template": [template.name, template.python],
    "recipe": [recipe.name, [list(step) for step in recipe.steps]],
}))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example installed; ultralab itself stays where it is."""
    folder = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    how = ["--no-deps", "--no-build-isolation", "--target", str(folder), str(EXAMPLE)]
    subprocess.run([*install, *how], check=True)
    return folder


def _python(program: str, *arguments: str, site: Path | None) -> object:
    environment = {**os.environ, "PYTHONPATH": str(site)} if site else dict(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_kind_of_extension_is_found_beside_the_built_in_ones(site: Path) -> None:
    before = _python(FIND, site=None)
    after = _python(FIND, site=site)
    assert isinstance(before, dict)
    assert after == {
        group: {**builtin, ADDED[group]: ["ultralab-example", "0.1.0"]} for group, builtin in before.items()
    }


@pytest.mark.alone
def test_its_engine_keeps_the_promises_of_the_built_in_ones(site: Path, tmp_path: Path) -> None:
    """As its author would: the conformance suite, run on the installed package."""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    report = tmp_path / "report.xml"
    suite = [str(EXAMPLE / "engine_contract.py"), "-p", "no:cacheprovider", f"--junitxml={report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *suite],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    totals = ET.parse(report).getroot()[0].attrib
    assert int(totals["tests"]) >= 40
    assert (totals["failures"], totals["errors"], totals["skipped"]) == ("0", "0", "0")


def test_every_kind_of_extension_can_be_used(site: Path) -> None:
    assert _python(USE, str(WORDS), site=site) == {
        "engine": ["parrot", ["words"], True],
        "source": ["three.words", 21, hashlib.sha256(WORDS.read_bytes()).hexdigest()],
        "format": [True, 3],
        "sampler": ["load_1min"],
        "template": ["words", "3.12"],
        "recipe": ["try_words", [["models", "pull", "wordlist:{list}"], ["models", "show", "{list}"]]],
    }
