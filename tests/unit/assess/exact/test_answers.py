"""Reading llama.cpp's report and log."""

from __future__ import annotations

from ultralab.assess.exact.answers import (
    MIB,
    DeviceShare,
    finer_cache,
    finer_compute,
    finer_weights,
    read_report,
    reason,
)

MAC = "MTL0 7401 814 517 \nhost 1280 0 154 \n"
"""gemma-3-4b-it F16 at 32,768 on a Mac, as ggml-org/llama.cpp's pull request 22171 shows it."""


def test_devices_stay_apart_and_the_host_comes_last() -> None:
    assert read_report(MAC) == (
        DeviceShare("MTL0", 7401 * MIB, 814 * MIB, 517 * MIB),
        DeviceShare("host", 1280 * MIB, 0, 154 * MIB),
    )
    assert read_report("Host 8137 16384 418 \n") == (DeviceShare("Host", 8137 * MIB, 16384 * MIB, 418 * MIB),)


def test_what_is_no_report() -> None:
    for printed in ("", "MTL0 1 2 3\n", "Host 1 2\n", "-c 4096 -ngl 99\n", "Host -1 2 3\n"):
        assert read_report(printed) is None


def test_the_log_is_finer_than_the_report() -> None:
    shares = read_report("MTL0 10 6 5 \nHost 1 0 2 \n")
    assert shares is not None
    log = (
        "llama_kv_cache:       MTL0 KV buffer size =     0.00 MiB\n"
        "llama_kv_cache: size =    4.25 MiB (   256 cells,   2 layers,  1/1 seqs), K (f16):    2.12 MiB, V (f16):    2.12 MiB\n"
        "llama_memory_recurrent: size =    2.50 MiB (     1 cells,   4 layers,  1 seqs), R (f32):    1.00 MiB, S (f32):    1.50 MiB\n"
        "sched_reserve:       MTL0 compute buffer size =     9.99 MiB\n"
        "sched_reserve:       MTL0 compute buffer size =     5.50 MiB\n"
        "sched_reserve:        CPU compute buffer size =     2.75 MiB\n"
    )
    assert finer_cache(log, shares) == round(6.75 * MIB)
    assert finer_compute(log, shares) == round(8.25 * MIB)
    assert finer_weights(11 * MIB + 77, shares) == 11 * MIB + 77


def test_a_log_that_disagrees_with_the_report_is_not_believed() -> None:
    shares = read_report("Host 10 6 5 \n")
    assert shares is not None
    assert finer_cache("llama_kv_cache: size =    9.00 MiB (   256 cells", shares) == 6 * MIB
    assert finer_cache("", shares) == 6 * MIB
    assert finer_compute("sched_reserve: CPU compute buffer size =  4.50 MiB", shares) == 5 * MIB
    assert finer_weights(12 * MIB, shares) == 10 * MIB


def test_the_last_line_that_says_why() -> None:
    assert reason("") == ""
    assert reason(
        "x: error loading model: unknown\nx: failed to load model\nterminate called after\n  what():  failed\n"
    ) == ("x: error loading model: unknown")
    assert reason("  what():  failed to load model\n") == "what():  failed to load model"
