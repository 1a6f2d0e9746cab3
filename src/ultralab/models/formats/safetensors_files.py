"""The headers of all SafeTensors files of a model, read side by side and checked against each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from ultralab.kernel.errors import Unsupported
from ultralab.kernel.language import _
from ultralab.kernel.text import printable
from ultralab.models.formats.base import Bundle, Item, too_many
from ultralab.models.formats.bounded_json import damaged
from ultralab.models.formats.directory import weight_files
from ultralab.models.formats.safetensors_scan import Header, Tensor
from ultralab.models.formats.weight_index import Index

AT_ONCE: Final = 8

T = TypeVar("T")


def read_weights(
    bundle: Bundle, fold: Callable[[Iterator[Tensor]], T]
) -> tuple[list[T], tuple[Item, ...], Mapping[str, str]]:
    """``fold`` over the tensors of each file, the files, and the first file's ``__metadata__``.

    Where an index spreads the tensors, each is given from the file that the index names. Raises FileDamaged (also: a
    tensor is not where the index says), Unsupported (too many tensors, several models).
    """
    items, index = weight_files(bundle)
    readers = [_Reader(item, bundle, index, number) for number, item in enumerate(items)]
    if len(readers) == 1:
        folded = [readers[0].run(fold)]
    else:
        with ThreadPoolExecutor(min(AT_ONCE, len(readers))) as pool:
            try:
                folded = list(pool.map(lambda reader: reader.run(fold), readers))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    if sum(reader.count for reader in readers) > bundle.limits.tensors:
        raise too_many(bundle.where, bundle.limits.tensors)
    if index is not None:
        _require_all(index, items, readers)
    else:
        _require_different(bundle, readers)
    return folded, items, readers[0].metadata


class _Reader:
    """One file: its tensors are counted while they are folded."""

    def __init__(self, item: Item, bundle: Bundle, index: Index | None, number: int) -> None:
        self._item = item
        self._bundle = bundle
        self._index = index
        self._number = number
        self._several = index is None and len(bundle.items) > 1
        self.count = 0
        self.names: set[int] = set()
        self.metadata: Mapping[str, str] = {}

    def run(self, fold: Callable[[Iterator[Tensor]], T]) -> T:
        with self._item.open() as stream:
            header = Header(self._item, stream, self._bundle.limits)
            if self._index is not None:
                folded = fold(self._placed(header.tensors(), self._index))
            else:
                folded = fold(self._named(header.tensors()) if self._several else header.tensors())
                self.count = header.count
        self.metadata = header.metadata
        return folded

    def _placed(self, tensors: Iterator[Tensor], index: Index) -> Iterator[Tensor]:
        for tensor in tensors:
            if index.place(tensor.name) == self._number:  # else a copy, or nobody's: loaders do not ask for it here
                self.count += 1
                yield tensor

    def _named(self, tensors: Iterator[Tensor]) -> Iterator[Tensor]:
        for tensor in tensors:
            self.names.add(hash(tensor.name))
            yield tensor


def _require_all(index: Index, items: tuple[Item, ...], readers: list[_Reader]) -> None:
    for item, reader, count in zip(items, readers, index.counts(), strict=True):
        if reader.count != count:
            raise damaged(
                item,
                _("{missing} of the tensors that the index places here are not in it").format(
                    missing=count - reader.count
                ),
            )


def _require_different(bundle: Bundle, readers: list[_Reader]) -> None:
    if len(readers) > 1 and len(set().union(*(reader.names for reader in readers))) < sum(r.count for r in readers):
        raise Unsupported(
            _("{path} holds several models: a tensor's name is in more than one of its files.").format(
                path=printable(bundle.where, 1000)
            ),
            hint=_("Name one of the files, or put each model into a folder of its own."),
            path=bundle.where,
        )
