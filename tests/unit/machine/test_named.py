"""The machines with a name."""

from ultralab.kernel.units import GIB
from ultralab.machine.chips import TABLE
from ultralab.machine.named import SOLD, find_named, named_machines


def test_every_chip_of_the_table_has_its_machines() -> None:
    assert {machine.variant for machine in named_machines()} == set(TABLE)
    for row in TABLE:
        sizes = [machine.memory_bytes // GIB for machine in named_machines() if machine.variant == row]
        assert sizes == sorted(sizes)
        assert sizes[-1] == row.memory_gb


def test_names_are_unique_and_lead_back() -> None:
    names = [machine.name for machine in named_machines()]
    assert len(set(names)) == len(names)
    assert [find_named(name) for name in names] == list(named_machines())
    assert {"m3-ultra-96", "m3-ultra-256", "m3-ultra-512"} <= set(names)


def test_every_row_names_its_source() -> None:
    assert all(sold.source.startswith("Apple") for sold in SOLD)


def test_the_reference_machine() -> None:
    machine = find_named(" M3-Ultra-512 ")
    assert machine is not None
    assert (machine.gpu_cores, machine.performance_cores, machine.efficiency_cores) == (80, 24, 8)
    assert (machine.memory_bytes, machine.bandwidth) == (512 * GIB, 819e9)


def test_a_gpu_core_count_chooses() -> None:
    smaller = find_named("m3-ultra-96-60")
    assert smaller is not None
    assert (smaller.name, smaller.gpu_cores, smaller.performance_cores) == ("m3-ultra-96-60", 60, 20)
    larger = find_named("m3-ultra-96-80")
    assert larger is not None
    assert larger == find_named("m3-ultra-96")


def test_memory_tells_apart_what_shares_a_name() -> None:
    found = {name: find_named(name) for name in ("m3-max-36", "m3-max-48", "m3-max-96")}
    assert {name: one.gpu_cores if one else 0 for name, one in found.items()} == {
        "m3-max-36": 30,
        "m3-max-48": 40,
        "m3-max-96": 30,
    }


def test_what_was_not_sold_has_no_name() -> None:
    for name in ("m3-ultra-128", "m4-ultra-512", "m3-ultra", "m3-ultra-512-70", "m3-max-36-40", "", "512"):
        assert find_named(name) is None
