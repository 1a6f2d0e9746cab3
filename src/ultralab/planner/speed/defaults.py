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
            points=72,
        ),
        ("llamacpp", "ultra"): DecodeRates(
            dense=0.7631,
            routed=0.7359,
            kv=0.7158,
            dense_seconds=0.0001152,
            routed_seconds=0.0001343,
            latent_seconds=5.801e-05,
            dense_spread=0.1303,
            routed_spread=0.1197,
            points=45,
        ),
        ("mlx", "single"): DecodeRates(
            dense=0.8249,
            routed=0.8147,
            kv=0.5804,
            dense_seconds=3.225e-05,
            routed_seconds=0.0001357,
            latent_seconds=2.967e-05,
            dense_spread=0.1253,
            routed_spread=0.1433,
            points=38,
        ),
        ("mlx", "ultra"): DecodeRates(
            dense=0.8453,
            routed=0.9276,
            kv=0.4146,
            dense_seconds=7.238e-05,
            routed_seconds=0.0002021,
            latent_seconds=8.124e-05,
            dense_spread=0.2075,
            routed_spread=0.2831,
            points=68,
        ),
    },
    prefill={
        ("llamacpp", False): PrefillRates(
            dense=0.6774,
            routed=0.6614,
            dense_spread=0.1144,
            routed_spread=0.3128,
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
            dense=0.7073,
            routed=0.5178,
            dense_spread=0.1398,
            routed_spread=0.4507,
            points=46,
        ),
        ("mlx", True): PrefillRates(
            dense=0.6217,
            routed=0.3961,
            dense_spread=0.34,
            routed_spread=0.34,
            points=5,
        ),
    },
)
