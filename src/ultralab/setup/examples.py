"""The experiment files that ship with ultralab, copied to where a person can change them."""

from __future__ import annotations

from importlib.resources import files as resources
from pathlib import Path
from typing import Final

from ultralab.system import files

EXAMPLE: Final = "quantization_tradeoff.yaml"
SHIPPED: Final = (EXAMPLE, "the_quiet_machine.txt")


def copy_examples(folder: Path, language: str) -> tuple[Path, ...]:
    """Copy the example, with its words in ``language``, and its text into ``folder``; what is there stays.

    Returns the files written.

    Raises FileAccess, DiskFull.
    """
    shipped = resources("ultralab.examples")
    missing = [folder / name for name in SHIPPED if not (folder / name).exists()]
    for path in missing:
        translated = shipped.joinpath(f"{path.stem}.{language}{path.suffix}")
        source = translated if translated.is_file() else shipped.joinpath(path.name)
        files.write(path, source.read_bytes())
    return tuple(missing)
