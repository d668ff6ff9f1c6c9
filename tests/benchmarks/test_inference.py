"""Measuring speed: what is timed, what is written, how it fails."""

import numpy as np

from earcli.benchmarks.inference import ROUNDS, measure_speed


class FakeWorker:
    """Says that a batch took 10 ms an image, and every tenth pass twice that."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []

    def time(self, images: np.ndarray, seconds: float) -> list[float]:
        self.asked.append((len(images), seconds))
        return [0.01 * len(images)] * 9 + [0.02 * len(images)]


def test_speed_is_images_over_time_and_latency_a_percentile() -> None:
    workers = {"a": FakeWorker(), "b": FakeWorker()}
    found = measure_speed(workers, np.zeros((3, 3, 64, 64), np.float32), [1, 8], 6.0, lambda *_: None)  # type: ignore[arg-type]
    assert [(speed.backend, speed.batch) for speed in found] == [("a", 1), ("b", 1), ("a", 8), ("b", 8)]
    for speed in found:
        assert speed.runs == 10 * ROUNDS
        np.testing.assert_allclose(speed.images_per_second, 10 / 0.11)
        np.testing.assert_allclose(speed.median_ms, 10 * speed.batch)
        np.testing.assert_allclose(speed.p95_ms, 20 * speed.batch)
    assert workers["a"].asked == [(1, 1.0)] * ROUNDS + [(8, 1.0)] * ROUNDS
