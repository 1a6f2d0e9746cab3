"""What ``doctor`` and ``selftest`` ask about planning: whether its limits and its calibration are this machine's.

Each ``judge_…`` is a pure function of what was read, so that the verdicts on a Mac are tested without one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ultralab.assess.calibration.reading import Reading, measured_reading
from ultralab.assess.limits import LimitAdvice, advice_on_limit, read_wired_limit_mb
from ultralab.kernel.checks import Check, Finding
from ultralab.kernel.language import N_, _
from ultralab.kernel.units import format_bytes, format_rate
from ultralab.machine.types import Machine
from ultralab.memory import Ledger

_LEAST_SHARE, _MOST_SHARE = 0.40, 1.05


def doctor_checks(home: Path | None, machine: Callable[[], Machine]) -> tuple[Check, ...]:
    """Is the GPU's memory limit sensible, and is the calibration of the lab at ``home`` (None: no lab) of this machine?

    Fast, nothing is measured.
    """
    checks = [Check("plan.limit", N_("The GPU's memory limit leaves enough to macOS"), lambda: _limit(machine()))]
    if home is not None:
        about = N_("The planner is calibrated for this machine")
        checks.append(Check("plan.calibration", about, lambda: _calibration(home, machine())))
    return tuple(checks)


def selftest_checks(machine: Callable[[], Machine], ledger: Callable[[], Ledger]) -> tuple[Check, ...]:
    """Does reading memory reach what the planner takes for possible? Only a Mac can show it."""
    about = N_("The GPU reads memory as fast as the planner assumes")

    def run() -> Finding:
        if skipped := _only_on_a_mac(machine()):
            return skipped
        return judge_reading(machine(), measured_reading(machine(), ledger()))

    return (Check("plan.reading", about, run),)


def judge_limit(advice: LimitAdvice) -> Finding:
    """Too high a limit ends in restarts; a low one only keeps large models out."""
    detail = _("the GPU may keep {current} of {memory}").format(
        current=format_bytes(advice.current_bytes), memory=format_bytes(advice.memory_bytes)
    )
    if advice.verdict == "lower":
        return Finding("warn", f"{detail}. {advice.why}", advice.command)
    if advice.verdict == "raise":
        more = _("{detail}; up to {best} would be sensible").format(
            detail=detail, best=format_bytes(advice.recommended_bytes)
        )
        return Finding("pass", more)
    return Finding("pass", detail)


def judge_reading(machine: Machine, reading: Reading) -> Finding:
    """Whether what was read lies between 40 % and 105 % of the table's figure, and whether it was the GPU that read."""
    nominal, measured = machine.bandwidth.bytes_per_second, reading.bytes_per_second
    if machine.bandwidth.basis != "table" or measured <= 0:
        return Finding("warn", _("{chip}: there is nothing to compare.").format(chip=machine.chip))
    detail = _("{measured} read, {share:.0%} of {nominal} ({how})").format(
        measured=format_rate(measured), share=measured / nominal, nominal=format_rate(nominal), how=_(reading.basis)
    )
    if reading.by != "gpu":
        return Finding("warn", detail, _("MLX did not answer: install it (pip install mlx) and try again."))
    if _LEAST_SHARE <= measured / nominal <= _MOST_SHARE:
        return Finding("pass", detail)
    return Finding("fail", detail, _("Close other programs and try again; if it stays so, report this line."))


def _limit(machine: Machine) -> Finding:
    if skipped := _only_on_a_mac(machine):
        return skipped
    return judge_limit(advice_on_limit(machine.memory_bytes, machine.limit_bytes, read_wired_limit_mb()))


def _calibration(home: Path, machine: Machine) -> Finding:
    from ultralab.assess.calibration.calibrate import read_with_warning

    kept, warning = read_with_warning(home, machine)
    if warning:
        return Finding("warn", warning, "ultralab plan calibrate")
    if kept is None:
        return Finding(
            "skip",
            _("Not measured yet: predictions rest on published measurements of other machines."),
            "ultralab plan calibrate",
        )
    detail = _("{count} measured speeds, {rate} read, of {date}").format(
        count=len(kept.samples), rate=format_rate(kept.reading.bytes_per_second), date=kept.made[:10]
    )
    if kept.disturbed:
        disturbed = _("{detail}; other programs disturbed {count} runs").format(detail=detail, count=kept.disturbed)
        return Finding("warn", disturbed, _("Run `ultralab plan calibrate` again while nothing else is busy."))
    return Finding("pass", detail)


def _only_on_a_mac(machine: Machine) -> Finding | None:
    if machine.unified_memory:
        return None
    return Finding("skip", _("only Apple silicon can show this; here is {chip}").format(chip=machine.chip))
