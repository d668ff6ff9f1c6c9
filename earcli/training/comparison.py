"""Compares detectors that are fine-tuned from different starts on the same few labels, by cross-validation."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from earcli.analysis.detection import DetectionResults
from earcli.config.detector import FinetuneConfig
from earcli.data.batches import PixelDataset
from earcli.errors import ConfigError
from earcli.metrics.intervals import bootstrap_interval, reduction_interval
from earcli.models.detector import EarDetector
from earcli.reporting.reporter import SILENT
from earcli.training.loop import train_detector

Rows = NDArray[np.int64]
Starter = Callable[[FinetuneConfig], tuple[EarDetector, FinetuneConfig]]
"""Builds the detector of a configuration, and settles the configuration."""


@dataclass(frozen=True)
class Plan:
    """An experiment.

    Attributes:
        starts: Configurations by name, which differ only in the weights that the detector starts from.
        budgets: Numbers of training labels.
        seeds: Each gives another partition of the ears, other labels and other random numbers.
        folds: Folds of each partition; each is the test set once.
    """

    starts: dict[str, FinetuneConfig]
    budgets: Sequence[int]
    seeds: Sequence[int]
    folds: int

    def __len__(self) -> int:
        return len(self.starts) * len(self.budgets) * len(self.seeds) * self.folds


@dataclass(frozen=True)
class Fold:
    """One split of the ears.

    Attributes:
        seed: Of the partition.
        number: Of the fold in its partition.
        train: Rows of the training ears; a budget takes the first ones.
        test: Rows of the test ears.
    """

    seed: int
    number: int
    train: Rows
    test: Rows


@dataclass(frozen=True)
class Trial:
    """The errors of one detector on each ear of its test set.

    Attributes:
        start: Name of the configuration.
        budget: Number of training labels.
        seed: Of the partition.
        fold: Number of the fold.
        ears: (T,) rows of the test ears.
        nme: (T,) normalized mean errors.
        iou: (T,) intersections over union.
    """

    start: str
    budget: int
    seed: int
    fold: int
    ears: Rows
    nme: NDArray[np.float64]
    iou: NDArray[np.float64]


@dataclass(frozen=True)
class _Task:
    """A trial to run."""

    start: str
    config: FinetuneConfig
    budget: int
    fold: Fold


def split_folds(groups: Rows, plan: Plan) -> Iterator[Fold]:
    """The folds of all seeds.

    Args:
        groups: (N,) group of each ear, such as a subject; a group is never split between training and test.
        plan: The experiment.

    Raises:
        ConfigError: A budget exceeds the training ears of a fold, or there are fewer groups than folds.
    """
    names = np.unique(groups)
    if len(names) < plan.folds:
        raise ConfigError(
            f"`folds` is {plan.folds}, but there are {len(names)} groups of ears, and each fold needs one."
        )
    for seed in plan.seeds:
        for number, (_, chosen) in enumerate(KFold(plan.folds, shuffle=True, random_state=seed).split(names)):
            held_out = np.isin(groups, names[chosen])
            train = np.random.default_rng((seed, number)).permutation(np.flatnonzero(~held_out))
            if max(plan.budgets) > len(train):
                raise ConfigError(
                    f"`budgets` has {max(plan.budgets)} labels, but a fold has {len(train)} training ears. "
                    "Use more `folds` or smaller `budgets`."
                )
            yield Fold(seed, number, train, np.flatnonzero(held_out))


def compare(
    plan: Plan, make: Starter, train: PixelDataset, test: PixelDataset, groups: Rows, steps: int, jobs: int
) -> Iterator[Trial]:
    """Trains and tests every detector of a plan.

    Args:
        plan: The experiment.
        make: A function of a module, which other processes can import.
        train: All N ears with windows for augmentation; see `view_dataset`.
        test: The same ears without augmentation.
        groups: See `split_folds`.
        steps: Batches that each detector trains for.
        jobs: Processes that train in parallel, with one thread each; 1 trains in this process, with all threads.
    """
    tasks = [
        _Task(
            start, replace(config, seed=fold.seed, epochs=1, epoch_steps=steps, devices="1", num_nodes=1), budget, fold
        )
        for fold in split_folds(groups, plan)
        for budget in plan.budgets
        for start, config in plan.starts.items()
    ]
    run_trial = partial(_run_trial, make, train, test)
    if jobs == 1:
        yield from map(run_trial, tasks)
        return
    # not forked: threads of this process would not run in the others
    with ProcessPoolExecutor(jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield from pool.map(run_trial, tasks)


def _run_trial(make: Starter, train: PixelDataset, test: PixelDataset, task: _Task) -> Trial:
    fold = task.fold
    with TemporaryDirectory() as folder:
        model, config = make(replace(task.config, run_dir=Path(folder)))
        datasets = train.subset(fold.train[: task.budget]), test.subset(fold.test)
        _, module = train_detector(config, model, *datasets, (), SILENT)
    results = DetectionResults.concatenate(module.results)
    return Trial(task.start, task.budget, fold.seed, fold.number, fold.test, results.nme(), results.iou())


def summarize(trials: Sequence[Trial], count: int, groups: Rows) -> list[dict[str, float | int | str]]:
    """A row for each start and budget: mean NME and IoU over ears, and the 95% interval of NME.

    The error of an ear is its mean over seeds; intervals resample groups of ears. `below_first` is the relative
    reduction of NME compared with the first start at the same budget, on the same ears, with its 95% interval.

    Args:
        trials: All trials of a plan.
        count: Number of ears.
        groups: See `split_folds`.
    """
    keys = list(dict.fromkeys((trial.start, trial.budget) for trial in trials))
    errors = {key: _mean_errors(trials, *key, count) for key in keys}
    rows: list[dict[str, float | int | str]] = []
    for start, budget in keys:
        nme, reference = errors[start, budget], errors[keys[0][0], budget]
        labeled = ~np.isnan(nme)
        low, high = bootstrap_interval(nme[labeled, None], groups[labeled])[:, 0]
        reduction = reduction_interval(nme[labeled], reference[labeled], groups[labeled])
        overlaps = [trial.iou for trial in trials if (trial.start, trial.budget) == (start, budget)]
        rows.append(
            {
                "start": start,
                "labels": budget,
                "nme": float(nme[labeled].mean()),
                "nme_low": float(low),
                "nme_high": float(high),
                "iou": float(np.concatenate(overlaps).mean()),
                "below_first": 1 - float(nme[labeled].mean() / reference[labeled].mean()),
                "below_first_low": reduction[0],
                "below_first_high": reduction[1],
            }
        )
    return rows


def _mean_errors(trials: Sequence[Trial], start: str, budget: int, count: int) -> NDArray[np.float64]:
    """The NME of each ear, mean over seeds; NaN for an ear without labeled points."""
    total, tests = np.zeros(count), np.zeros(count)
    for trial in trials:
        if (trial.start, trial.budget) == (start, budget):
            total[trial.ears] += trial.nme
            tests[trial.ears] += 1
    with np.errstate(invalid="ignore"):
        return total / tests
