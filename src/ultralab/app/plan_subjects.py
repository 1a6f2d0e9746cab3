"""What a plan is about: a model of the library, a file or folder, a reference to a source; open while it is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ultralab.app.lab import Lab
from ultralab.app.model_access import access, limits
from ultralab.kernel.errors import NotFound, RequestError
from ultralab.kernel.language import _
from ultralab.settings import is_lab

if TYPE_CHECKING:
    from ultralab.models.formats.base import Bundle, ModelHeader
    from ultralab.models.sources.base import Source


@dataclass(frozen=True)
class Subject:
    """A model's name for people, where it is, its header, and its files, from which more can be read."""

    name: str
    header: ModelHeader
    bundle: Bundle


@contextmanager
def subject(lab: Lab, ref: str) -> Iterator[Subject]:
    """Read a model's header, here or far away, weights unread; a file may hold nothing but its header.

    Raises NotFound, RequestError (no such source, several models fit), and what reading headers raises.
    """
    from ultralab.models.inspect import choose_format

    with _bundle(lab, ref) as (name, found):
        bundle = replace(found, headers_only=True)
        yield Subject(name, choose_format(bundle, lab.formats).read_header(bundle), bundle)


def _source(lab: Lab, ref: str) -> tuple[Source, str]:
    from ultralab.models.pulling.pull import choose_source

    try:
        return choose_source(ref, lab.sources)
    except RequestError as error:
        if ":" in ref or "/" in ref:
            raise
        hint = _hint(lab, ref) or error.hint
        raise RequestError(
            _("{ref!r} is no model of the library, no file and no reference.").format(ref=ref), hint=hint, ref=ref
        ) from error


def _hint(lab: Lab, ref: str) -> str:
    """What may have been meant: a model of the library, or a well-known one."""
    from ultralab import models
    from ultralab.assess.known import models as known

    with suppress(RequestError):
        return _("Its published files are compared by: ultralab plan advise {name}").format(name=known.find(ref).id)
    try:
        if is_lab(lab.home):
            models.find(lab.library, ref)
    except NotFound as error:
        return error.hint
    return ""


@contextmanager
def _bundle(lab: Lab, ref: str) -> Iterator[tuple[str, Bundle]]:
    from ultralab import models
    from ultralab.models import bundles
    from ultralab.models.pulling.plan import chosen_files
    from ultralab.models.pulling.pull import choose_source

    if not ref.strip():
        choose_source(ref, lab.sources)  # which says so
    path = Path(ref).expanduser()
    try:
        record = None if path.exists() or not is_lab(lab.home) else models.find(lab.library, ref)
    except NotFound:
        record = None
    if record is not None:
        models.model_path(lab.library, record)
        yield record.ref, bundles.from_path(lab.library.folder(record), limits(lab))
        return
    if path.exists():
        yield str(path), bundles.from_path(path, limits(lab))
        return
    source, rest = _source(lab, ref)
    how = access(lab)
    resolution = source.resolve(rest, how)
    _group, files = chosen_files(resolution)
    with bundles.far(files, resolution.ref, how, limits(lab)) as bundle:
        yield resolution.ref, bundle
