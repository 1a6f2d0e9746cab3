"""Extensions that are broken in every way a third party can think of."""

from __future__ import annotations

from pathlib import Path

import pytest

from ultralab.kernel import plugins
from ultralab.kernel.errors import Failure, UnknownChoice
from ultralab.kernel.plugins import GROUPS, Plugin, installed, load

GROUP = "ultralab.test_things"
ENTRIES = {
    "good": "broken_things_good:THING",
    "missing_module": "broken_things_nowhere:THING",
    "missing_name": "broken_things_good:OTHER",
    "wrong_syntax": "broken_things_syntax:THING",
    "raises": "broken_things_raises:THING",
    "malformed": "not a target at all",
}


@pytest.fixture(autouse=True)
def broken_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution on the path, as an installer would have left it."""
    info = tmp_path / "broken_things-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-things\nVersion: 1.2\n")
    entries = "\n".join(f"{name} = {target}" for name, target in ENTRIES.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{entries}\n")
    (tmp_path / "broken_things_good.py").write_text("THING = 'the thing'\n")
    (tmp_path / "broken_things_syntax.py").write_text("THING = = 1\n")
    (tmp_path / "broken_things_raises.py").write_text("raise RuntimeError('no GPU on this machine')\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_what_is_installed_is_listed_without_an_import() -> None:
    assert installed(GROUP) == tuple(
        Plugin(GROUP, name, target, "broken-things", "1.2") for name, target in sorted(ENTRIES.items())
    )
    assert installed("ultralab.nothing_here") == ()


def test_a_good_one_is_loaded() -> None:
    assert load(GROUP, "good", "thing") == "the thing"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing_module", "No module named 'broken_things_nowhere'"),
        ("missing_name", "has no attribute 'OTHER'"),
        ("wrong_syntax", "invalid syntax"),
        ("raises", "no GPU on this machine"),
        ("malformed", ""),
    ],
)
def test_a_broken_one_is_blamed_on_its_package(name: str, reason: str) -> None:
    with pytest.raises(Failure) as caught:
        load(GROUP, name, "thing")
    assert caught.value.message.startswith(f"The extension {name!r} of broken-things 1.2 cannot be loaded: ")
    assert reason in caught.value.message
    assert caught.value.hint == "Upgrade or uninstall broken-things."
    assert caught.value.data == {"extension": name}


def test_an_unknown_one_names_the_known() -> None:
    with pytest.raises(UnknownChoice) as caught:
        load(GROUP, "goood", "thing")
    assert caught.value.hint.startswith("Did you mean good? Known: good, ")


def test_every_group_has_built_ins_that_load() -> None:
    for group in GROUPS:
        ours = [plugin for plugin in installed(group) if plugin.distribution == "ultralab"]
        assert ours, group
        assert [load(group, plugin.name, "thing") is not None for plugin in ours] == [True] * len(ours)


def test_every_group_names_its_seam() -> None:
    for seam in GROUPS.values():
        module, _dot, name = seam.rpartition(".")
        found = plugins._import(Plugin("seam", name, f"{module}:{name}", "ultralab", "0"))
        assert isinstance(found, type)
