"""The downloader: files from http(s) or from paths into a folder, in parts, resumed, checked, only then handed over."""

from ultralab.models.download.bring import key_of
from ultralab.models.download.fetching import CONNECTIONS, USUAL, fetch, fetch_all
from ultralab.models.download.leftovers import Leftover, discard, leftovers
from ultralab.models.download.local import local_path
from ultralab.models.download.patience import Patience

__all__ = [
    "CONNECTIONS",
    "USUAL",
    "Leftover",
    "Patience",
    "discard",
    "fetch",
    "fetch_all",
    "key_of",
    "leftovers",
    "local_path",
]
