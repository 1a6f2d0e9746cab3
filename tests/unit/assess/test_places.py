"""Machines to plan for, and who holds this one's memory."""

import dataclasses
import os

import pytest
from tests.machines import MAC, PC

from ultralab.assess.memory_use import Holder, MemoryUse, largest_holders, memory_use, sentences
from ultralab.assess.places import hardware_of, place, places, this_place
from ultralab.kernel.errors import UnknownChoice
from ultralab.kernel.units import GIB
from ultralab.machine import available_memory, footprint, memory_limit, read_machine
from ultralab.memory import Reservation
from ultralab.planner.hardware import Hardware
from ultralab.system.process import ProcessId


def test_the_reference_machine_by_name() -> None:
    found = place("M3-ULTRA-512")
    assert found.hardware == Hardware("Apple M3 Ultra", 819e9, True, 80, 24)
    assert (found.name, found.memory_bytes, found.limit_bytes) == ("m3-ultra-512", 512 * GIB, 384 * GIB)
    assert not found.is_this
    assert found.basis.startswith("three quarters of the memory")


def test_small_ones_get_two_thirds() -> None:
    found = place("m4-24")
    assert (found.limit_bytes, found.basis[:10]) == (16 * GIB, "two thirds")


def test_gpu_cores_can_be_chosen() -> None:
    assert place("m3-ultra-512-60").hardware.gpu_cores == 60


def test_an_unknown_name_is_told_its_neighbours() -> None:
    with pytest.raises(UnknownChoice, match="m3-ultra-521") as caught:
        place("m3-ultra-521")
    assert "m3-ultra-512" in caught.value.hint


def test_every_place_can_be_planned_for() -> None:
    for one in places():
        assert 0 < one.limit_bytes < one.memory_bytes
        assert one.hardware.bandwidth > 60e9
        assert one.hardware.gpu_cores > 0
        assert one.basis
    assert [one.name for one in places()] == list({one.name: None for one in places()})


def test_a_mac_is_its_own_limit_and_what_is_held() -> None:
    found = this_place(MAC, 464 * GIB, 20 * GIB, 300 * GIB, 692e9)
    assert found.hardware == Hardware("Apple M3 Ultra", 819e9, True, 80, 24, 692e9)
    assert (found.limit_bytes, found.in_use_bytes, found.free_bytes) == (464 * GIB, 20 * GIB, 300 * GIB)
    assert found.is_this
    assert found.basis == "what macOS lets the GPU keep: 464 GiB"
    less = this_place(MAC, 400 * GIB, 0, GIB)
    assert less.basis == "what macOS lets the GPU keep: 464 GiB, less what the lab's settings keep back"


def test_a_copied_bandwidth_is_a_measured_one() -> None:
    assert hardware_of(PC) == Hardware("AMD EPYC", 0.0, False, 0, 24, 24e9)
    assert hardware_of(PC, 28e9).measured_bandwidth == 28e9


def test_this_machine() -> None:
    machine = read_machine(measure=False)
    found = this_place(machine, memory_limit(machine), 0, available_memory())
    assert found.is_this
    assert found.hardware.cpu_cores == machine.performance_cores


def test_who_holds_memory_here() -> None:
    found = largest_holders(10_000)
    assert [holder.bytes for holder in found] == sorted((holder.bytes for holder in found), reverse=True)
    own = next(holder for holder in found if holder.pid == os.getpid())
    assert own.bytes == pytest.approx(footprint(os.getpid()), rel=0.2)
    assert len(largest_holders(1)) == 1


def test_use_adds_up() -> None:
    use = MemoryUse(512 * GIB, 384 * GIB, 20 * GIB, 400 * GIB, (Holder(7, "Safari", 30 * GIB),))
    assert (use.held, use.unaccounted, use.for_a_model) == (112 * GIB, 82 * GIB, 364 * GIB)
    crowded = dataclasses.replace(use, free=100 * GIB)
    assert crowded.for_a_model == 100 * GIB
    assert dataclasses.replace(use, reserved=500 * GIB).for_a_model == 0


def test_use_in_words() -> None:
    use = MemoryUse(512 * GIB, 384 * GIB, 20 * GIB, 400 * GIB, (Holder(7, "Safari", 30 * GIB),))
    held = Reservation(1, ProcessId(8, "x"), 20 * GIB, "Qwen3 8B", "2026-11-23T10:00:00+08:00")
    assert sentences(use, (held,)) == (
        "Models may take 384 GiB of 512 GiB; 20.0 GiB of that are reserved.",
        "Reserved: 20.0 GiB for Qwen3 8B.",
        "The largest processes: Safari (process 7) 30.0 GiB.",
        "400 GiB are free now: a model of up to 364 GiB could be loaded without pushing anything out.",
    )


def test_use_of_this_machine() -> None:
    machine = read_machine(measure=False)
    use = memory_use(machine.memory_bytes, memory_limit(machine), 0, largest=3)
    assert 0 < use.free <= use.memory
    assert len(use.holders) == 3
    assert use.to_data()["holders"][0]["bytes"] >= use.to_data()["holders"][2]["bytes"]
