"""LM Studio's models: ``<publisher>/<model>/<file>`` below its models folder (its page “Import models”).

Where that folder is: its command line tool ``lms`` reads ``downloadsFolder`` in ``settings.json`` of its home, which is
``~/.lmstudio``, or what ``~/.lmstudio-home-pointer`` names (lms: src/modelsFolder.ts, src/lmstudioPaths.ts).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.models.neighbours.base import Holding, Layout, Link
from ultralab.models.neighbours.folder import in_folders
from ultralab.models.neighbours.huggingface import local_name
from ultralab.models.neighbours.walk import listed, regular_files, small_json, small_text
from ultralab.models.types import ModelRecord

_PUBLISHER: Final = "ultralab"
_FORMATS: Final = ("gguf", "mlx")


class LmStudio:
    """``~/.lmstudio/models``, before version 0.3.6 ``~/.cache/lm-studio/models``; a setting names another place."""

    name = "lmstudio"
    title = "LM Studio"
    follows_links = True  # `lms import --symbolic-link` makes such links itself

    def folders(self, home: Path) -> tuple[Path, ...]:
        """The folder of its settings or its default, then the one of older versions."""
        own = _own_folder(home)
        settings = small_json(own / "settings.json")
        chosen = settings.get("downloadsFolder") if isinstance(settings, dict) else None
        first = Path(chosen) if isinstance(chosen, str) and Path(chosen).is_absolute() else own / "models"
        older = home / ".cache" / "lm-studio" / "models"
        return (first,) if first == older else (first, older)

    def holdings(self, folder: Path) -> Iterator[Holding]:
        """The models in each ``<publisher>/<model>``."""
        publishers, problem = listed(folder)
        if problem:
            yield Holding(self.name, folder.name, folder, problem=problem)
        for publisher in publishers:
            models, problem = listed(publisher) if publisher.is_dir() else ([], "")
            if problem:
                yield Holding(self.name, publisher.name, publisher, problem=problem)
            for model in models:
                if model.is_dir():
                    yield from in_folders(Holding(self.name, model.name, model), regular_files(model, deepest=4))

    def layout(self, folder: Path, record: ModelRecord, files: Mapping[str, Path]) -> Layout:
        """Links by name in a real folder: LM Studio lists linked files; linked folders it did not always."""
        if record.format not in _FORMATS:
            raise Unsupported(
                _("LM Studio takes GGUF and MLX models; {ref} is in the format {format}.").format(
                    ref=record.ref, format=record.format
                ),
                hint=_("Convert it first: ultralab models convert {ref} --to mlx").format(ref=record.ref),
                ref=record.ref,
            )
        name = local_name(record)
        place = folder / _PUBLISHER / name
        steps = tuple(Link(place / file.name, files[file.name], "symlink") for file in record.files)
        return Layout(
            steps, _("In LM Studio, under My Models: {name} (or: lms ls)").format(name=f"{_PUBLISHER}/{name}")
        )


def _own_folder(home: Path) -> Path:
    """LM Studio's home: what its pointer file names, if that is there, else the default."""
    pointed = small_text(home / ".lmstudio-home-pointer", most=4096).strip()
    if pointed and "\0" not in pointed and Path(pointed).is_absolute() and Path(pointed).is_dir():
        return Path(pointed)
    return home / ".lmstudio"


LM_STUDIO: Final = LmStudio()
