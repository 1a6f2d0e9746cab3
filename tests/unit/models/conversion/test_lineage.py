"""Ancestors, descendants, and what can be made again."""

from __future__ import annotations

from ultralab.models import Derivation, ModelFile, ModelRecord, can_remake, lineage


def record(name: str, digit: str, parent: ModelRecord | None = None, tool: str = "mlx_lm") -> ModelRecord:
    derived = None
    if parent is not None:
        derived = Derivation(
            parent=parent.ref, parent_sha256=parent.sha256, tool=tool, tool_version="1", quantization=name
        )
    return ModelRecord(
        name="m", variant=name, title="", family="m", format="gguf", architecture="llama", parameters=1, quantization="",
        bits_per_weight=1.0, context=1, licence="", source="", source_url="", added="", added_by="",
        files=(ModelFile("m.gguf", 1, digit * 64),), derived=derived,
    )  # fmt: skip


ROOT = record("f16", "a")
CHILD = record("q8", "b", ROOT)
GRANDCHILD = record("q4", "c", CHILD)
OTHER = record("q5", "d", ROOT)
ALL = (GRANDCHILD, OTHER, ROOT, CHILD)


def test_lineage() -> None:
    assert lineage(ALL, GRANDCHILD) == ((CHILD, ROOT), ())
    assert lineage(ALL, ROOT) == ((), (OTHER, CHILD, GRANDCHILD))
    assert lineage(ALL, CHILD) == ((ROOT,), (GRANDCHILD,))
    assert lineage((GRANDCHILD, ROOT), GRANDCHILD) == ((), ())


def test_a_renamed_parent_is_found_by_its_bytes() -> None:
    renamed = record("renamed", "a")
    assert lineage((renamed, CHILD), CHILD) == ((renamed,), ())


def test_records_that_form_a_ring() -> None:
    first = record("one", "e", record("two", "f"))
    second = record("two", "f", record("one", "e"))
    found = lineage((first, second), first)
    assert len(found.ancestors) <= 2
    assert found.descendants == (second,)


def test_what_can_be_made_again() -> None:
    assert can_remake(ALL, CHILD, {"mlx_lm"})
    assert not can_remake(ALL, CHILD, {"llama-quantize"})
    assert not can_remake((CHILD,), CHILD, {"mlx_lm"})
    assert not can_remake(ALL, ROOT, {"mlx_lm"})
