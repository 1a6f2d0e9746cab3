"""The budgets of size and naming (design rule 12)."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "ultralab"
MODULES = sorted([*SOURCE.rglob("*.py"), *(ROOT / "scripts").glob("*.py")])
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _functions(path: Path) -> Iterator[Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_module_is_longer_than_600_lines() -> None:
    assert {_name(path): _lines(path) for path in MODULES if _lines(path) > 600} == {}


def test_modules_are_small() -> None:
    # Files that only mark a package would flatter the figures.
    sizes = [_lines(path) for path in MODULES if path.name != "__init__.py"]
    deciles = statistics.quantiles(sizes, n=10, method="inclusive")
    assert statistics.median(sizes) <= 150, sizes
    assert deciles[8] <= 400, sizes


def test_no_function_is_longer_than_100_lines() -> None:
    sizes = {
        f"{_name(path)}:{function.name}": (function.end_lineno or 0) - function.lineno + 1
        for path in MODULES
        for function in _functions(path)
    }
    assert {name: size for name, size in sizes.items() if size > 100} == {}


def test_public_functions_are_annotated() -> None:
    bare = [
        f"{_name(path)}:{function.name}"
        for path in MODULES
        for function in _functions(path)
        if function.returns is None and not function.name.startswith("_")
    ]
    assert bare == []


def test_names_say_something() -> None:
    folders = {folder for path in MODULES for folder in path.relative_to(ROOT).parents}
    named = [*(path.relative_to(ROOT).with_suffix("") for path in MODULES), *folders]
    assert sorted(str(path) for path in named if path.name in SAYS_NOTHING) == []


def test_no_class_is_a_manager() -> None:
    classes = [
        f"{_name(path)}:{node.name}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Manager", "Helper", "Utils"))
    ]
    assert classes == []
