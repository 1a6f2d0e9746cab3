"""Words that name models on the command line: their completion."""

from __future__ import annotations

import click  # noqa: TC002 - the shell completion calls with its types

from ultralab.cli.frame import Request
from ultralab.cli.home import home_of


def complete_ref(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names in the library, for the shell."""
    from ultralab.app import open_lab
    from ultralab.kernel.errors import UltralabError
    from ultralab.models import records

    try:
        known = records(open_lab(home_of(context.find_object(Request) or Request())).library)
    except UltralabError:
        return []
    return [record.ref for record in known if record.ref.startswith(incomplete)]


def complete_tag(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Tags in use, for the shell."""
    from ultralab.app import open_lab
    from ultralab.kernel.errors import UltralabError
    from ultralab.models import records

    try:
        known = records(open_lab(home_of(context.find_object(Request) or Request())).library)
    except UltralabError:
        return []
    return sorted({tag for record in known for tag in record.tags if tag.startswith(incomplete)})
