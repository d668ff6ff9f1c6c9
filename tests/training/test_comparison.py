"""Tests of `earcli/training/comparison.py`."""

import numpy as np
import pytest

from earcli.config.detector import FinetuneConfig
from earcli.errors import ConfigError
from earcli.training.comparison import Plan, Trial, split_folds, summarize

GROUPS = np.array([3, 0, 0, 7, 1, 1, 2, 5, 5, 5])


def plan(folds: int = 3, budgets: tuple[int, ...] = (1, 4), seeds: tuple[int, ...] = (0, 1)) -> Plan:
    return Plan({"teacher": FinetuneConfig(), "none": FinetuneConfig(init="none")}, budgets, seeds, folds)


def test_a_plan_counts_its_trials() -> None:
    assert len(plan()) == 2 * 2 * 2 * 3


def test_every_ear_is_tested_once_per_seed_and_no_group_is_split() -> None:
    folds = list(split_folds(GROUPS, plan()))
    assert [(fold.seed, fold.number) for fold in folds] == [(seed, number) for seed in (0, 1) for number in range(3)]
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == list(range(10))
        assert not set(GROUPS[fold.train]) & set(GROUPS[fold.test])
    for seed in (0, 1):
        assert sorted(np.concatenate([fold.test for fold in folds if fold.seed == seed])) == list(range(10))
    assert {tuple(fold.test) for fold in folds[:3]} != {tuple(fold.test) for fold in folds[3:]}


def test_the_labels_of_a_budget_are_drawn_by_the_seed() -> None:
    first, again = (list(split_folds(np.arange(40), plan())) for _ in range(2))
    assert all(np.array_equal(a.train, b.train) for a, b in zip(first, again, strict=True))
    assert all((np.diff(fold.train) < 0).any() for fold in first)  # a budget is no row of neighbors


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (plan(folds=7), "`folds` is 7, but there are 6 groups of ears, and each fold needs one."),
        (
            plan(folds=6, budgets=(2, 10)),
            r"`budgets` has 10 labels, but a fold has \d training ears\. Use more `folds`",
        ),
    ],
)
def test_a_plan_that_the_ears_do_not_allow_is_refused(wrong: Plan, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        list(split_folds(GROUPS, wrong))


def test_the_summary_has_means_over_ears_and_the_gain_over_the_first_start() -> None:
    def trial(start: str, seed: int, ears: list[int], nme: list[float], iou: list[float]) -> Trial:
        return Trial(start, 5, seed, 0, np.array(ears), np.array(nme), np.array(iou))

    trials = [
        trial("none", 0, [0, 1], [0.1, 0.3], [0.5, 0.7]),
        trial("none", 0, [2, 3], [0.2, np.nan], [0.6, 0.6]),
        trial("none", 1, [3, 0], [np.nan, 0.3], [0.6, 0.6]),
        trial("none", 1, [1, 2], [0.5, 0.4], [0.6, 0.6]),
        trial("teacher", 0, [0, 1, 2, 3], [0.15, 0.15, 0.15, np.nan], [0.9, 0.9, 0.9, 0.7]),
    ]
    none, teacher = summarize(trials, 4, np.array([0, 1, 1, 2]))
    assert {"start": "none", "labels": 5, "below_first": 0.0}.items() <= none.items()
    assert none["nme"] == pytest.approx(0.3)  # of 0.2, 0.4 and 0.3; the ear without labels does not count
    assert none["iou"] == pytest.approx(0.6)
    assert (none["nme_low"], none["nme_high"]) == pytest.approx((0.2, 0.35))  # one group alone, the other one alone
    assert {"start": "teacher", "labels": 5, "nme_low": 0.15, "nme_high": 0.15}.items() <= {
        name: value if isinstance(value, str) else round(value, 9) for name, value in teacher.items()
    }.items()
    assert teacher["below_first"] == pytest.approx(0.5)
    assert teacher["iou"] == pytest.approx(0.85)
