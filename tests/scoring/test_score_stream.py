"""The stream on a clock of its own: decoding and the device take the seconds that a test says, to the microsecond."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_builders import build_decisions

from mura_batch.dicom.worker.pool import Item
from mura_batch.errors import RunnerError, StrictError
from mura_batch.records import Decoded, Instance, Reason, Stage, skip_instance
from mura_batch.runtime import inference_stream as device_stream
from mura_batch.runtime.runner import Outputs
from mura_batch.scoring import score_commits
from mura_batch.scoring import score_stream as scoring_stream
from mura_batch.scoring.intake import strict_error
from mura_batch.scoring.score_stream import Stream
from mura_batch.scoring.timings import Timings
from mura_batch.store.key import Key
from mura_batch.store.ledger import Ledger
from mura_batch.store.seen_files import Recall

KEY = Key("model", "settings")
DECISIONS = build_decisions()
MakeInstance = Callable[..., Instance]


class Clock:
    """Stands in for the module `time` in both streams."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Device:
    """One after another, each piece takes `seconds`. spans: (start, end) of each piece."""

    def __init__(self, clock: Clock, seconds: float, fails_at: int = -1) -> None:
        self.clock, self.seconds, self.fails_at = clock, seconds, fails_at
        self.spans: list[tuple[float, float]] = []

    def take(self) -> float:
        begin = max(self.clock.now, self.spans[-1][1] if self.spans else 0.0)
        self.spans.append((begin, begin + self.seconds))
        return begin + self.seconds


class Lane:
    def __init__(self, device: Device) -> None:
        self.device, self.ended, self.count = device, 0.0, 0

    def start(self, images: np.ndarray) -> None:
        self.count, self.ended = len(images), self.device.take()

    def finish(self) -> Outputs:
        if len(self.device.spans) > self.device.fails_at >= 0:
            raise RunnerError("the device is gone")
        self.device.clock.now = max(self.device.clock.now, self.ended)
        n = self.count
        return Outputs(np.full(n, 0.5, np.float32), np.zeros((n, 2, 2), np.float32), np.zeros((n, 3), np.float32))

    def abandon(self) -> None: ...


class Runner:
    def __init__(self, device: Device, lanes: int, size: int) -> None:
        self.device, self.lanes, self.batch_size, self.meter = device, lanes, size, device_stream.Meter()

    @property
    def busy_seconds(self) -> float:
        return self.meter.busy

    def run(self, batches: Iterable[np.ndarray]) -> Iterator[Outputs]:
        lanes = [Lane(self.device) for _ in range(self.lanes)]
        return device_stream.stream(batches, lanes, self.batch_size, 8, self.meter)


class Pool:
    """Files come decoded at `times`."""

    def __init__(self, clock: Clock, times: list[float], bad: frozenset[int] = frozenset()) -> None:
        self.clock, self.times, self.bad = clock, times, bad
        self.workers, self.busy_seconds = 2, sum(b - a for a, b in zip([0.0, *times], times, strict=False))

    def arrivals(self, instances: Iterable[Instance], most: int) -> Iterator[list[Item]]:
        items = [self._item(n, instance) for n, instance in enumerate(instances)]
        taken = 0
        while taken < len(items):
            self.clock.now = max(self.clock.now, self.times[taken])
            ready = [item for item, at in zip(items[taken:], self.times[taken:], strict=False) if at <= self.clock.now]
            taken += len(ready[:most])
            yield ready[:most]

    def _item(self, n: int, instance: Instance) -> Item:
        if n in self.bad:
            return skip_instance(instance, Stage.PIXELS, Reason.UNDECODABLE_PIXELS, "broken")
        return Decoded(instance, f"{n:064x}", DECISIONS), np.zeros((8, 8), np.uint8)


class Silent:
    def begin(self, what: str, total: int | None) -> None: ...

    def advance(self, count: int = 1) -> None: ...


@pytest.fixture
def play(tmp_path: Path, make_instance: MakeInstance, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """play(times, seconds, ...) -> (pool, device, timings): one run of the stream."""

    def run(
        times: list[float], seconds: float, *, lanes: int = 4, size: int = 1, store: float = 0.0, fails_at: int = -1,
        bad: frozenset[int] = frozenset(), strict: bool = False,
    ) -> tuple[Pool, Device, Timings]:  # fmt: skip
        clock = Clock()
        for module in (device_stream, scoring_stream, score_commits):
            monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr("mura_batch.scoring.timings.time", clock)

        def draw(*_: object) -> bytes:
            clock.now += store
            return b""

        monkeypatch.setattr(score_commits, "encode_thumbnail", draw)
        pool, device = Pool(clock, times, bad), Device(clock, seconds, fails_at)
        (tmp_path / "ledger").unlink(missing_ok=True)
        with Ledger(tmp_path / "ledger") as ledger:
            ledger.runs.begin("run", tmp_path)
            with ledger.files.intake():
                for n in range(len(times)):
                    ledger.files.put_header(make_instance(f"{n:04d}"), "intake")
            timings, runner = Timings(), Runner(device, lanes, size)
            stream = Stream(ledger.scores, KEY, pool, runner, Silent())  # type: ignore[arg-type]
            stream.run(timings, partial(strict_error, names=ledger.names) if strict else None)
        return pool, device, timings

    return run


def idle_beside_work(pool: Pool, device: Device, times: list[float]) -> float:
    """Seconds in which the device had nothing to do though a decoded picture lay there; one piece a picture."""
    idle, free = 0.0, 0.0
    for (begin, end), ready in zip(device.spans, times, strict=True):
        idle += max(0.0, begin - max(free, ready))
        free = end
    return idle


EVEN = [0.1 * n for n in range(1, 41)]
BURSTS = [1.0 * (n // 10 + 1) for n in range(40)]


@pytest.mark.parametrize("times", [EVEN, BURSTS, [0.0] * 40], ids=["even", "bursts", "all at once"])
@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.3])
def test_the_device_is_never_idle_while_a_decoded_picture_waits(
    play: Callable[..., Any], times: list[float], seconds: float
) -> None:
    pool, device, timings = play(times, seconds)
    assert len(device.spans) == len(times)
    assert idle_beside_work(pool, device, times) == pytest.approx(0, abs=1e-9)
    assert timings.busy["inference"] == pytest.approx(40 * seconds)


def test_storing_hides_behind_the_device(play: Callable[..., Any]) -> None:
    """With four in flight the device works on while a picture is drawn."""
    pool, device, _ = play([0.0] * 40, 0.1, store=0.05)
    assert idle_beside_work(pool, device, [0.0] * 40) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("every", "seconds"), [(0.1, 0.02), (0.02, 0.1)], ids=["decoding", "device"])
def test_a_run_takes_the_larger_of_its_two_bounds(play: Callable[..., Any], every: float, seconds: float) -> None:
    times = [every * (n + 1) for n in range(100)]
    _, device, timings = play(times, seconds)
    bound = max(100 * every, 100 * seconds)
    assert bound <= device.spans[-1][1] <= bound + every + seconds
    took = timings.busy["inference"] + timings.waiting["inference"]
    assert took == pytest.approx(device.spans[-1][1], abs=1e-6)
    assert timings.as_seconds()["inference"]["waiting"] == pytest.approx(took - 100 * seconds, abs=1e-3)


def test_a_batch_is_what_came_together(play: Callable[..., Any]) -> None:
    """A slow device with room for two batches gets larger batches; a fast one is not kept waiting for them."""
    _, slow, _ = play([0.01 * n for n in range(64)], 0.1, lanes=2, size=8)
    assert len(slow.spans) < 12
    _, fast, _ = play([0.1 * n for n in range(64)], 0.01, lanes=2, size=8)
    assert len(fast.spans) == 64


def test_scores_from_before_a_device_failure_are_stored(
    play: Callable[..., Any], tmp_path: Path, make_instance: MakeInstance
) -> None:
    with pytest.raises(RunnerError, match="the device is gone"):
        play([0.0] * 40, 0.1, fails_at=20)
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.runs.begin("next", tmp_path)
        with ledger.files.intake():
            for n in range(40):
                assert ledger.files.recall(make_instance(f"{n:04d}").source, "intake") is Recall.KNOWN
        assert (
            ledger.scores.count_pending(KEY) == 40 - 17
        )  # the 20th piece was started when the 17th answer had been stored


def test_strict_stores_results_up_to_and_including_the_bad_file(
    play: Callable[..., Any], tmp_path: Path, make_instance: MakeInstance
) -> None:
    with pytest.raises(StrictError, match="undecodable_pixels"):
        play(EVEN, 0.001, bad=frozenset({12}), strict=True)
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.runs.begin("next", tmp_path)
        with ledger.files.intake():
            for n in range(40):
                assert ledger.files.recall(make_instance(f"{n:04d}").source, "intake") is Recall.KNOWN
        assert 40 - 13 <= ledger.scores.count_pending(KEY) < 40 - 8  # up to four answers were still on their way
