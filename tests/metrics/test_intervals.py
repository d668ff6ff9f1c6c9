"""Tests of `earcli/metrics/intervals.py`."""

import numpy as np
import pytest
from scipy.stats import bootstrap

from earcli.metrics.intervals import bootstrap_interval, reduction_interval


def test_the_interval_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).gamma(2.0, size=(80, 2))
    low, high = bootstrap_interval(values, seed=1)
    for column in range(2):
        exact = bootstrap((values[:, column],), np.mean, n_resamples=20_000, method="percentile", rng=2)
        assert low[column] == pytest.approx(exact.confidence_interval.low, abs=0.02)
        assert high[column] == pytest.approx(exact.confidence_interval.high, abs=0.02)


def test_pictures_of_one_person_do_not_make_the_mean_surer() -> None:
    people = np.random.default_rng(0).normal(size=(40, 1))
    low, high = bootstrap_interval(people)
    copies = bootstrap_interval(np.repeat(people, 25, axis=0), np.repeat(np.arange(40), 25))
    np.testing.assert_allclose(copies[:, 0], [low[0], high[0]], atol=0.02)
    blind = bootstrap_interval(np.repeat(people, 25, axis=0))
    assert np.ptp(blind[:, 0]) < 0.3 * np.ptp(copies[:, 0])


def test_the_interval_of_a_reduction_is_that_of_scipy_and_paired() -> None:
    rng = np.random.default_rng(0)
    reference = rng.gamma(2.0, size=80) + 1
    values = reference * rng.uniform(0.7, 0.9, 80)

    def reduction(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return 1 - a.mean(axis) / b.mean(axis)

    exact = bootstrap(
        (values, reference), reduction, paired=True, vectorized=True, n_resamples=20_000, method="percentile", rng=2
    ).confidence_interval
    found = reduction_interval(values, reference, np.arange(80))
    assert found == pytest.approx((exact.low, exact.high), abs=0.003)
    assert found[1] - found[0] < 0.05  # although the values differ by more than that
