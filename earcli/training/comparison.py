"""What a teacher saves: detectors fine-tuned from different starts on the same few labels, by cross-validation."""

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
from earcli.metrics.intervals import bootstrap_interval
from earcli.models.detector import EarDetector
from earcli.reporting.reporter import SILENT
from earcli.training.loop import train_detector

Rows = NDArray[np.int64]
Starter = Callable[[FinetuneConfig], tuple[EarDetector, FinetuneConfig]]
"""Builds a detector as a configuration says, and settles its architecture."""


@dataclass(frozen=True)
class Plan:
    """What is compared.

    Attributes:
        starts: configurations by name, alike but for what the detector starts from.
        budgets: numbers of labels.
        seeds: each divides the ears anew, draws other labels and trains anew.
        folds: parts of a division; each is tested on once.
    """

    starts: dict[str, FinetuneConfig]
    budgets: Sequence[int]
    seeds: Sequence[int]
    folds: int

    def __len__(self) -> int:
        return len(self.starts) * len(self.budgets) * len(self.seeds) * self.folds


@dataclass(frozen=True)
class Trial:
    """One detector: how far off it was on each ear that it was tested on."""

    start: str
    budget: int
    seed: int
    fold: int
    ears: Rows
    nme: NDArray[np.float64]
    iou: NDArray[np.float64]


def divide(groups: Rows, plan: Plan) -> Iterator[tuple[int, int, Rows, Rows]]:
    """Seed, fold, the ears to learn from in the order in which a budget takes them, and the ears to test on.

    Args:
        groups: (N,) ears of one group, such as a person, are never on both sides.

    Raises:
        ConfigError: a budget is more than a fold leaves, or there are fewer groups than folds.
    """
    names = np.unique(groups)
    if len(names) < plan.folds:
        raise ConfigError(f"--folds {plan.folds} of {len(names)} groups of ears: give fewer folds, or more labels.")
    for seed in plan.seeds:
        for fold, (_, chosen) in enumerate(KFold(plan.folds, shuffle=True, random_state=seed).split(names)):
            held_out = np.isin(groups, names[chosen])
            rest = np.random.default_rng((seed, fold)).permutation(np.flatnonzero(~held_out))
            if max(plan.budgets) > len(rest):
                raise ConfigError(
                    f"--budgets asks for {max(plan.budgets)} labels, but a fold leaves {len(rest)}. Give more --folds."
                )
            yield seed, fold, rest, np.flatnonzero(held_out)


def compare(
    plan: Plan, make: Starter, varied: PixelDataset, plain: PixelDataset, groups: Rows, steps: int, jobs: int
) -> Iterator[Trial]:
    """Trains and tests every detector of a plan, each for `steps` batches.

    Args:
        make: a function of a module, which other processes can import.
        varied, plain: the same N ears to learn from and to test on; see `view_dataset`.
        groups: see `divide`.
        jobs: processes that train side by side, with one thread each; 1 trains here, with all.
    """
    tasks = [
        (
            name,
            replace(config, seed=seed, epochs=1, epoch_steps=steps, devices="1", num_nodes=1),
            budget,
            fold,
            rest[:budget],
            test,
        )
        for seed, fold, rest, test in divide(groups, plan)
        for budget in plan.budgets
        for name, config in plan.starts.items()
    ]
    work = partial(_trial, make, varied, plain)
    if jobs == 1:
        yield from map(work, tasks)
        return
    # a forked process would inherit threads that do not run in it
    with ProcessPoolExecutor(jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield from pool.map(work, tasks)


def _trial(
    make: Starter, varied: PixelDataset, plain: PixelDataset, task: tuple[str, FinetuneConfig, int, int, Rows, Rows]
) -> Trial:
    name, config, budget, fold, rows, test = task
    with TemporaryDirectory() as folder:
        model, settled = make(replace(config, run_dir=Path(folder)))
        sets = varied.subset(rows), plain.subset(test)
        _, module = train_detector(settled, model, *sets, (), SILENT)
    found = DetectionResults.concatenate(module.found)
    return Trial(name, budget, config.seed, fold, test, found.nme(), found.iou())


def summarize(trials: Sequence[Trial], count: int, groups: Rows) -> list[dict[str, float | int | str]]:
    """A row for each start and budget: NME and IoU, means over ears, and the 95% interval of NME.

    An ear's error is its mean over seeds; the interval is over groups of ears. `below_first` is the share by which NME
    is below that of the first start with as many labels.

    Args:
        count: ears in all.
        groups: see `divide`.
    """
    keys = list(dict.fromkeys((trial.start, trial.budget) for trial in trials))
    errors = {key: _per_ear(trials, key, count) for key in keys}
    rows: list[dict[str, float | int | str]] = []
    for start, budget in keys:
        mine, first = errors[start, budget], errors[keys[0][0], budget]
        known = ~np.isnan(mine)
        low, high = bootstrap_interval(mine[known, None], groups[known])[:, 0]
        overlaps = [trial.iou for trial in trials if (trial.start, trial.budget) == (start, budget)]
        rows.append(
            {
                "start": start,
                "labels": budget,
                "nme": float(mine[known].mean()),
                "nme_low": float(low),
                "nme_high": float(high),
                "iou": float(np.concatenate(overlaps).mean()),
                "below_first": 1 - float(mine[known].mean() / first[known].mean()),
            }
        )
    return rows


def _per_ear(trials: Sequence[Trial], key: tuple[str, int], count: int) -> NDArray[np.float64]:
    """The NME of every ear, mean over seeds; NaN where it has no labeled point."""
    total, seen = np.zeros(count), np.zeros(count)
    for trial in trials:
        if (trial.start, trial.budget) == key:
            total[trial.ears] += trial.nme
            seen[trial.ears] += 1
    with np.errstate(invalid="ignore"):
        return total / seen
