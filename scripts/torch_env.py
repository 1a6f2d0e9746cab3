"""Make ``.venv-torch``: all of ``.venv``, and PyTorch. It holds the interpreter of the long tests' torch part.

    .venv/bin/python scripts/torch_env.py

PyTorch stays out of the hashed locks: its Linux builds bring gigabytes that nothing here uses, and which build fits is
the machine's affair. Doing it again costs nothing where nothing changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Final

from installer import explain, run, say

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / ".venv-torch"
PYTHON: Final = FOLDER / "bin" / "python"
STAMP: Final = FOLDER / "ultralab-torch.json"
PACKAGES: Final = ("torch==2.13.0", "accelerate==1.15.0", "bitsandbytes==0.50.2", "peft==0.21.2")
ASK: Final = "import ultralab, torch, transformers; print(torch.__version__, transformers.__version__)"


def main() -> int:
    """Make it if need be; the exit status."""
    wanted = {"base": str(Path(sys.prefix)), "python": sys.version, "packages": list(PACKAGES)}
    if _stamp() == wanted and PYTHON.exists():
        return 0
    if Path(sys.prefix) == FOLDER:
        sys.stderr.write("Run this with the interpreter of .venv: it makes .venv-torch anew.\n")
        return 2
    say(f"Making .venv-torch with {' '.join(PACKAGES)} ...")
    shutil.rmtree(FOLDER, ignore_errors=True)
    venv.create(FOLDER, with_pip=False, symlinks=True, prompt="ultralab-torch")
    _borrow(Path(sysconfig.get_path("purelib")))
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *PACKAGES]
    status, output = run(command, {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    if status != 0:
        sys.stderr.write(f"{explain('pip could not install PyTorch.', output)}\n")
        return 1
    found = subprocess.run([str(PYTHON), "-c", ASK], stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode != 0:
        sys.stderr.write("PyTorch was installed and does not run: see above.\n")
        return 1
    STAMP.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    say("Ready: .venv-torch with torch {}, transformers {}".format(*found.stdout.split()))
    return 0


def _borrow(packages: Path) -> None:
    """Let the new environment see another's packages; by ``addsitedir``, so that editable installs there count too."""
    made = FOLDER / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (made / "ultralab-base.pth").write_text(f"import site; site.addsitedir({str(packages)!r})\n", encoding="utf-8")


def _stamp() -> object:
    try:
        return json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main())
