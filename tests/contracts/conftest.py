"""The suites are plain modules: their assertions shall explain themselves as those of test files do."""

import pytest

pytest.register_assert_rewrite("tests.contracts.engine_suite", "tests.contracts.suite")
