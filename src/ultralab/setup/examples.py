"""The experiment files that ship with ultralab, copied to where a person can change them."""

from __future__ import annotations

from importlib.resources import files as resources
from pathlib import Path
from typing import Final

from ultralab.system import files

EXAMPLE: Final = "quantization_tradeoff.yaml"
SHIPPED: Final = (EXAMPLE, "the_quiet_machine.txt")


def copy_examples(folder: Path) -> tuple[Path, ...]:
    """Copy the example and the text it uses into ``folder``, except what is there already; the files written.

    Raises FileAccess, DiskFull.
    """
    missing = [folder / name for name in SHIPPED if not (folder / name).exists()]
    for path in missing:
        files.write(path, resources("ultralab.examples").joinpath(path.name).read_bytes())
    return tuple(missing)
