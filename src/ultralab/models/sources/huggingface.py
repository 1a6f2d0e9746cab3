"""The Hugging Face hub, or a mirror of it: ``hf:org/repo[@revision][:pattern]``.

Its API is asked through ``huggingface_hub`` (``HfApi.model_info`` with ``files_metadata``: ``GET
/api/models/<repo>/revision/<revision>?blobs=true``); a file lies at ``/<repo>/resolve/<commit>/<path>``. What is kept in
Git LFS has a SHA-256 there, small files have none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ultralab.kernel.errors import FetchFailed, NotFound, RequestError, UltralabError
from ultralab.kernel.language import _
from ultralab.models.pulling.grouping import with_companions
from ultralab.models.sources import answers, trust
from ultralab.models.sources.base import NOBODY, Access, RemoteFile, Resolution
from ultralab.models.sources.patterns import nothing_fits, select
from ultralab.models.sources.references import Repository, endpoints, first_reached, parse, token_for
from ultralab.system import environ

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

DEFAULT: Final = "https://huggingface.co"
REALM: Final = "hf"
FORM: Final = "hf:org/repo[@revision][:pattern]"

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_LOGIN: Final = "hf auth login, HF_TOKEN=…, ultralab secrets set hf"


class HuggingFaceSource:
    """Model repositories of the Hugging Face hub."""

    scheme = "hf"

    def resolve(self, rest: str, access: Access = NOBODY) -> Resolution:
        """Ask the hub (the first endpoint that can be reached) which files a revision has; the others become mirrors."""
        wanted = parse(self.scheme, rest, FORM, owner_needed=False)
        addresses = endpoints(access, REALM, DEFAULT)
        endpoint, info = first_reached(addresses, lambda address: _ask(address, wanted, _token(access, address)))
        commit = info.sha if isinstance(info.sha, str) and _COMMIT.fullmatch(info.sha) else ""
        if not commit:
            raise answers.not_understood(endpoint)
        siblings = _siblings(info.siblings, wanted)
        chosen = with_companions(list(siblings), select(list(siblings), wanted.pattern))
        if wanted.pattern and not chosen:
            raise nothing_fits(wanted.where, list(siblings), wanted.pattern)
        realm = REALM if _is_trusted(endpoint) else ""
        mirrors = [address for address in addresses if address != endpoint]
        found = [_file(siblings[name], wanted, endpoint, mirrors, commit=commit, realm=realm) for name in chosen]
        licence, bases = _card(info)
        return Resolution(
            ref=wanted.ref,
            name=wanted.name.rpartition("/")[2],
            version=commit,
            licence=licence,
            homepage=f"{DEFAULT}/{wanted.name}",
            files=trust.require_distinct(found, wanted.where),
            base_models=bases,
        )


SOURCE: Final = HuggingFaceSource()


def _is_trusted(endpoint: str) -> bool:
    """Whether an endpoint may be given the token: the hub itself, or what the user's own variable names."""
    return endpoint in (DEFAULT, (environ.read("HF_ENDPOINT") or DEFAULT).rstrip("/"))


def _token(access: Access, endpoint: str) -> str:
    return token_for(access, REALM, endpoint, (DEFAULT, environ.read("HF_ENDPOINT")))


def _ask(endpoint: str, wanted: Repository, token: str) -> ModelInfo:
    """What the hub says of a revision. Raises NotFound, RequestError, FetchFailed."""
    from ultralab.models.sources.hub_session import bounded

    environ.set_default("HF_HUB_DISABLE_TELEMETRY", "1")  # else it asks each hub, and keeps, what programs may use it
    from huggingface_hub import HfApi

    with bounded():
        api = HfApi(endpoint=endpoint, token=token or False, library_name="ultralab")
        try:
            info = api.model_info(wanted.name, revision=wanted.revision or None, files_metadata=True)
            if info.gated:
                _require_accepted(api, wanted, token)
        except UltralabError:
            raise
        except Exception as error:  # a foreign library on a foreign answer: any shape may break it
            raise _explained(error, endpoint, wanted, token) from error
    return info


def _require_accepted(api: HfApi, wanted: Repository, token: str) -> None:
    """Raise RequestError unless this user may fetch from a gated repository: its list of files is public all the same."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    if not token:
        raise _closed(wanted)
    try:
        api.auth_check(wanted.name)
    except GatedRepoError as error:
        raise _closed(wanted, asked=True) from error
    except HfHubHTTPError:
        return  # a mirror without that question: the download will show it


def _closed(wanted: Repository, *, asked: bool = False) -> RequestError:
    page = f"{DEFAULT}/{wanted.name}"
    hint = (
        _("Accept its terms on {page} with the account of your token.").format(page=page)
        if asked
        else _("Accept its terms on {page}, then log in by one of: {ways}.").format(page=page, ways=_LOGIN)
    )
    return RequestError(
        _("{ref} is only for those who accepted its terms.").format(ref=wanted.where),
        hint=hint,
        ref=wanted.ref,
        page=page,
    )


def _explained(error: Exception, endpoint: str, wanted: Repository, token: str) -> UltralabError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return _closed(wanted, asked=bool(token))
    if isinstance(error, errors.RevisionNotFoundError):
        return NotFound(
            _("{name} has no revision {revision}.").format(name=f"hf:{wanted.name}", revision=wanted.revision),
            hint=_("Look at its branches and tags: {page}").format(page=f"{DEFAULT}/{wanted.name}/tree/main"),
            ref=wanted.ref,
        )
    if isinstance(error, (errors.RepositoryNotFoundError, errors.HFValidationError)):
        return _no_repository(wanted, token)
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(error, endpoint, wanted, token)
    return _broken(error, endpoint)


def _broken(error: Exception, endpoint: str) -> UltralabError:
    """No answer, or one that cannot be understood."""
    import httpx2
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return FetchFailed(
            _("{url} was not asked: HF_HUB_OFFLINE is set.").format(url=endpoint), hint=_("Unset it."), url=endpoint
        )
    if isinstance(error, httpx2.TooManyRedirects):
        return answers.looping(endpoint)
    if isinstance(error, httpx2.HTTPError):
        reason = str(error) or type(error).__name__
        return FetchFailed(
            _("{url} cannot be reached: {error}").format(url=endpoint, error=reason),
            hint=_(
                "Check the network connection and the proxy settings, or name a mirror (HF_ENDPOINT, models.mirrors)."
            ),
            url=endpoint,
        )
    return answers.not_understood(endpoint)


def _refused(error: HfHubHTTPError, endpoint: str, wanted: Repository, token: str) -> UltralabError:
    status = error.response.status_code
    if status == 401 and not token:  # to a stranger, what is private and what is missing look alike
        return _no_repository(wanted, token)
    if status in (401, 403):
        return RequestError(
            _("{url} refused your token ({status}).").format(url=endpoint, status=status),
            hint=_("Log in again by one of: {ways}.").format(ways=_LOGIN),
            ref=wanted.ref,
            status=status,
        )
    if status in answers.BUSY:
        return answers.busy(endpoint, status, error.response.headers)
    return answers.failed(endpoint, status)


def _no_repository(wanted: Repository, token: str) -> NotFound:
    hint = (
        _("Check the spelling; if it is private, your token has no access to it.")
        if token
        else _("Check the spelling; if it is private, log in by one of: {ways}.").format(ways=_LOGIN)
    )
    message = _("The Hugging Face hub has no model repository {name}.").format(name=wanted.name)
    return NotFound(message, hint=hint, ref=wanted.ref)


def _siblings(found: Sequence[RepoSibling] | None, wanted: Repository) -> dict[str, RepoSibling]:
    trust.require_count(len(found or ()), wanted.where)
    named = {trust.safe_name(sibling.rfilename, wanted.where): sibling for sibling in found or ()}
    if len(named) != len(found or ()):
        raise trust.refused(wanted.where, _("it lists a file twice"))
    return named


def _file(
    sibling: RepoSibling, wanted: Repository, endpoint: str, mirrors: Sequence[str], *, commit: str, realm: str
) -> RemoteFile:
    name, lfs = sibling.rfilename, sibling.lfs
    path = f"{wanted.name}/resolve/{commit}/{quote(name)}"
    return RemoteFile(
        name=name,
        url=f"{endpoint}/{path}",
        size=trust.size(sibling.size if lfs is None else lfs.size, name, wanted.where),
        sha256=trust.digest(None if lfs is None else lfs.sha256, name, wanted.where),
        realm=realm,
        mirrors=tuple(f"{mirror}/{path}" for mirror in mirrors),
    )


def _card(info: ModelInfo) -> tuple[str, tuple[str, ...]]:
    """Licence and base models, as the model card's head names them; whatever is no text is left out."""
    card: object = info.card_data
    licence = answers.text(getattr(card, "license", None))
    if licence == "other":
        licence = answers.text(getattr(card, "license_name", None)) or licence
    bases: object = getattr(card, "base_model", None)
    listed = [bases] if isinstance(bases, str) else bases if isinstance(bases, list) else []
    return licence, tuple(base for base in map(answers.text, listed[:20]) if base)
