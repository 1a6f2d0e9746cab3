"""The thread that samples while something is measured."""

import threading

import pytest

from ultralab.monitor import sample_while
from ultralab.system import clock


class Counter:
    """A sensor that counts how often it was asked, and fails when it is told to."""

    def __init__(self, failing: frozenset[int] = frozenset()) -> None:
        self.asked = 0
        self.threads: set[str] = set()
        self._failing = failing

    def sample(self) -> dict[str, float]:
        self.asked += 1
        self.threads.add(threading.current_thread().name)
        if self.asked in self._failing:
            message = f"broken at {self.asked}"
            raise OSError(message)
        return {"asked": float(self.asked)}


class Recorder:
    """Keeps what it gets; ``reached(n)`` waits until it got n."""

    def __init__(self) -> None:
        self.moments: list[float] = []
        self.readings: list[dict[str, float]] = []
        self._more = threading.Condition()

    def __call__(self, moment: float, readings: dict[str, float]) -> None:
        with self._more:
            self.moments.append(moment)
            self.readings.append(readings)
            self._more.notify_all()

    def reached(self, count: int) -> bool:
        with self._more:
            return self._more.wait_for(lambda: len(self.readings) >= count, timeout=10)


def test_the_first_sample_comes_at_once_and_a_last_one_at_the_end() -> None:
    sensor, record = Counter(), Recorder()
    begun = clock.monotonic()
    with sample_while(sensor, record, every=60) as sampling:
        assert record.reached(1)
    assert clock.monotonic() - begun < 5
    assert record.readings == [{"asked": 1.0}, {"asked": 2.0}]
    assert (sampling.samples, sampling.problem) == (2, None)
    assert sensor.threads == {"ultralab-sampler"}


def test_it_samples_at_its_beat() -> None:
    sensor, record = Counter(), Recorder()
    before = clock.timestamp()
    with sample_while(sensor, record, every=0.05):
        assert record.reached(4)
    assert record.moments == sorted(record.moments)
    assert before <= record.moments[0] <= record.moments[-1] <= clock.timestamp()
    assert record.moments[3] - record.moments[0] > 0.1
    assert [reading["asked"] for reading in record.readings] == [float(n + 1) for n in range(len(record.readings))]


def test_a_sensor_that_breaks_neither_ends_the_work_nor_the_sampling() -> None:
    sensor, record = Counter(failing=frozenset({2, 3})), Recorder()
    with sample_while(sensor, record, every=0.01) as sampling:
        assert record.reached(2)
    assert record.readings[:2] == [{"asked": 1.0}, {"asked": 4.0}]
    assert isinstance(sampling.problem, OSError)
    assert str(sampling.problem) == "broken at 2"


def test_a_record_that_fails_is_kept_as_the_problem() -> None:
    def full(_moment: float, _readings: dict[str, float]) -> None:
        raise OSError(28, "No space left on device")

    with sample_while(Counter(), full, every=60) as sampling:
        pass
    assert isinstance(sampling.problem, OSError)
    assert sampling.samples == 0


def test_the_error_of_the_work_comes_through_after_the_last_sample() -> None:
    record = Recorder()

    def work() -> None:
        with sample_while(Counter(), record, every=60):
            assert record.reached(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert len(record.readings) == 2
    assert "ultralab-sampler" not in {thread.name for thread in threading.enumerate()}
