"""What public measurements say, as constants, so that a prediction reads no file.

Made by ``benchmarks/plan_speed.py --defaults`` from ``ultralab/assess/measurements``; a test compares them with a
new fit. Shares, seconds per layer and spreads: see :mod:`ultralab.planner.speed.calibration`.
"""

from __future__ import annotations

from typing import Final

from ultralab.planner.speed.calibration import Calibration, DecodeRates, PrefillRates

PUBLIC: Final = Calibration(
    decode={
        ("llamacpp", "single"): DecodeRates(
            dense=0.8907,
            routed=0.6605,
            kv=0.5159,
            dense_seconds=0.00013,
            routed_seconds=7.746e-05,
            latent_seconds=0.0001,
            dense_spread=0.08827,
            routed_spread=0.09578,
            large_spread=0.0,
            points=72,
        ),
        ("llamacpp", "ultra"): DecodeRates(
            dense=0.7772,
            routed=0.7586,
            kv=0.7409,
            dense_seconds=0.000124,
            routed_seconds=0.0001623,
            latent_seconds=4.768e-05,
            dense_spread=0.146,
            routed_spread=0.2103,
            large_spread=0.2916,
            points=48,
        ),
        ("mlx", "single"): DecodeRates(
            dense=0.8247,
            routed=0.8146,
            kv=0.582,
            dense_seconds=3.223e-05,
            routed_seconds=0.0001357,
            latent_seconds=2.964e-05,
            dense_spread=0.1254,
            routed_spread=0.1433,
            large_spread=0.0,
            points=38,
        ),
        ("mlx", "ultra"): DecodeRates(
            dense=0.8451,
            routed=0.9279,
            kv=0.4134,
            dense_seconds=7.229e-05,
            routed_seconds=0.0002021,
            latent_seconds=7.358e-05,
            dense_spread=0.2075,
            routed_spread=0.2916,
            large_spread=0.2916,
            points=68,
        ),
    },
    prefill={
        ("llamacpp", False): PrefillRates(
            dense=0.6774,
            routed=0.7712,
            dense_spread=0.1144,
            routed_spread=0.2103,
            points=97,
        ),
        ("llamacpp", True): PrefillRates(
            dense=0.6002,
            routed=0.6002,
            dense_spread=0.6931,
            routed_spread=0.6931,
            points=1,
        ),
        ("mlx", False): PrefillRates(
            dense=0.7155,
            routed=0.5963,
            dense_spread=0.1146,
            routed_spread=0.413,
            points=46,
        ),
        ("mlx", True): PrefillRates(
            dense=0.6264,
            routed=0.4152,
            dense_spread=0.3352,
            routed_spread=0.3352,
            points=5,
        ),
    },
)
