from __future__ import annotations

from dataclasses import replace

from tests.unit.experiments.report.report_sample import failed, measured, run, runs

from ultralab.experiments.report.findings import Findings, find
from ultralab.experiments.report.rows import comparison_rows
from ultralab.experiments.types import RunRecord, Spread


def plain(message: str) -> str:
    return message


def found(*records: RunRecord) -> Findings:
    return find(comparison_rows(records), plain)


def test_the_whole_example() -> None:
    assert found(*runs()) == Findings(
        answer=(
            "Compared with Q4_1, MXFP4 needs the least memory (−4.2%), Q4_0 decodes fastest (+7.5%), and Q8_0 stays "
            "closest in quality (the same favourite token 97.3% of the time)."
        ),
        tradeoff=(
            "Q8_0: 20.6% more memory, decode 22.5% slower, quality not measurably different.",
            "Q5_1: 5.8% more memory, decode 11.5% slower, quality not measurably different.",
            "Q4_0: 2.9% less memory, decode 7.5% faster, perplexity 7.2% higher (worse).",
            "MXFP4: 4.2% less memory, decode 7.6% slower, perplexity 28.5% higher (worse).",
        ),
        points=(
            (
                "Q8_0, Q5_1: more bits per weight than the reference Q4_1 they were made from. More bits cannot give back "
                "what the source had already lost; they cost memory and can at best repeat its quality."
            ),
            (
                "Nothing in these figures speaks for Q8_0, Q5_1: Q4_1 needs less memory, decodes no slower, and its "
                "quality is not measurably worse."
            ),
            "Memory was predicted to within 2.4% of what was measured (MXFP4 was furthest off).",
            "Every measured decode speed fell inside its predicted band.",
            "Decode as the client saw it and as the engine timed it differ by at most 1.0% (allowed: 15%).",
        ),
        cautions=(
            (
                "A text of 512 tokens cannot settle every difference in NLL: as a rule of thumb, what lies below about "
                "0.04 nats per token may be chance. Here that is Q8_0 (−0.0007), Q5_1 (+0.0015)."
            ),
            "Counted on 512 positions, a share of same favourite tokens is known to about ±3.6 points.",
        ),
        failures=(),
    )


def test_no_finished_run() -> None:
    said = found(failed("Q4_1"), replace(failed("Q8_0", ""), status="interrupted"))
    assert said == Findings(
        answer="No run finished, so there is no answer yet.",
        tradeoff=(),
        points=(),
        cautions=(),
        failures=(
            "Q4_1 failed: The engine's process died with signal 9.",
            "Q8_0 was interrupted: no reason was recorded.",
        ),
    )


def test_no_runs_at_all() -> None:
    assert found() == Findings("No run finished, so there is no answer yet.", (), (), (), ())


def test_one_run() -> None:
    said = found(run("Q4_1"))
    assert said.answer == (
        "Only Q4_1 finished (219 MiB of memory, decode 110 tok/s, perplexity 42.5): there is nothing to compare it with."
    )
    assert (said.tradeoff, said.failures, said.cautions) == ((), (), ())


def test_the_reference_did_not_finish() -> None:
    said = found(failed("Q4_1"), run("Q8_0"), run("Q4_0"))
    assert said.answer == (
        "The reference did not finish, so the variants can only be compared with each other: Q4_0 needs the least "
        "memory (213 MiB), Q4_0 decodes fastest (118 tok/s)."
    )
    assert said.tradeoff == ()


def test_the_reference_itself_can_be_the_smallest() -> None:
    said = found(run("Q4_1"), run("Q8_0"))
    assert said.answer == (
        "Compared with Q4_1, Q4_1 needs the least memory (it is the reference), Q4_1 decodes fastest (it is the "
        "reference), and Q8_0 stays closest in quality (the same favourite token 97.3% of the time)."
    )


def test_wide_spreads_overlaps_caches_and_slow_clients_are_called_out() -> None:
    noisy = replace(
        run("Q8_0"),
        measured=replace(
            measured("Q8_0"),
            decode_tok_s=Spread((80.0, 100.0, 120.0)),
            engine_decode_tok_s=Spread((130.0, 130.0, 130.0)),
            cached_tokens=7,
        ),
    )
    assert found(run("Q4_1"), noisy).cautions[:2] + found(run("Q4_1"), noisy).cautions[4:] == (
        "The decode ranges of Q4_1 and Q8_0 overlap: these repeats do not settle which is faster.",
        (
            "Repeats spread by more than 15% of their median: Q8_0 decode (40%). Repeat on an idle machine before you "
            "build on differences in speed."
        ),
        "The engine took prompt tokens out of a cache for Q8_0: their prefill speed and TTFT look better than they are.",
        (
            "Decode as the client saw it differs from the engine's own timings by more than 15%: Q8_0 (−23.1%). Something "
            "beside the model took time; do not compare these speeds."
        ),
    )


def test_a_lead_within_the_spread_is_hedged_and_long_lists_are_cut() -> None:
    wide = Spread((40.0, 110.0, 160.0))
    noisy = [
        replace(
            record, measured=replace(measured(record.quantization), decode_tok_s=wide, prefill_tok_s=wide, ttft_s=wide)
        )
        for record in (run("Q4_1"), run("Q8_0"))
    ]
    said = found(*noisy, run("Q4_0"))
    assert "Q4_0 decodes fastest (+7.5%, but repeats overlap)" in said.answer
    assert (
        said.tradeoff[0] == "Q8_0: 20.6% more memory, decode ±0.0% (repeats overlap), quality not measurably different."
    )
    spreads = ("Q8_0 decode", "Q8_0 prefill", "Q8_0 TTFT", "Q4_1 decode")
    assert said.cautions[1] == (
        f"Repeats spread by more than 15% of their median: {', '.join(f'{one} (109%)' for one in spreads)}, and 2 more. "
        "Repeat on an idle machine before you build on differences in speed."
    )


def test_a_speed_outside_its_band_is_named() -> None:
    record = run("Q8_0")
    assert record.expected is not None
    wrong = replace(record, expected=replace(record.expected, decode_low=200.0, decode_high=300.0))
    assert (
        "Decode speed fell outside its predicted band for Q8_0, out of 2 predictions."
        in found(run("Q4_1"), wrong).points
    )
