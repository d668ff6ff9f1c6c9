"""Training in this process: start, stop, and compare the results of runs."""

import csv
import os
import signal
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from earcli.analysis.skeleton import fit_skeleton
from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.config.teacher import TrainConfig
from earcli.data.cache import Crops, load_crops
from earcli.data.manifest import read_manifest
from earcli.training.loop import Pretrained, train_teacher
from earcli.training.teacher import TeacherModule

UNTRAINED = Pretrained(None, None)


class Recorder:
    """A reporter that records everything, and calls `at` with epoch and batch after each training batch."""

    def __init__(self, at: Callable[[int, int], None] | None = None) -> None:
        self.records: list[dict[str, float]] = []
        self.notes: list[str] = []
        self.at = at

    def progress(self, activity: str, done: int, total: int) -> None:
        if activity == "training" and self.at is not None:
            self.at(len(self.records), done)

    def epoch(self, record: dict[str, float]) -> None:
        self.records.append(record)

    def note(self, text: str) -> None:
        self.notes.append(text)


def crops(config: TrainConfig) -> tuple[Crops, Crops]:
    train, val = (
        load_crops(read_manifest(path).limit(limit, config.seed), config.image_size, config.run_dir / ".cache", 2)
        for path, limit in ((config.train_manifest, config.limit_train), (config.val_manifest, config.limit_val))
    )
    return train, val


def fit(
    config: TrainConfig,
    reporter: Recorder | None = None,
    resume: Checkpoint | None = None,
    pretrained: Pretrained = UNTRAINED,
) -> tuple[RunFolder, TeacherModule]:
    train, val = crops(config)
    if resume is None:
        skeleton = fit_skeleton(train.pixels, config.skeleton_dim, flips=False, seed=config.seed)
        pretrained = replace(pretrained, skeleton=skeleton)
    return train_teacher(config, train, val, pretrained, reporter or Recorder(), resume)


def weights(run: RunFolder) -> dict[str, Tensor]:
    """The state of a run: both sets of weights, optimizer, schedule, annealing."""
    content = torch.load(run.last, weights_only=True)
    flat = dict(content["state_dict"])
    for group, state in content["optimizer_states"][0]["state"].items():
        flat |= {f"optimizer.{group}.{name}": value for name, value in state.items()}
    flat["lr"] = torch.tensor(content["lr_schedulers"][0]["_last_lr"])
    started = content["ear"].get("anneal_start")  # a detector has none
    flat["anneal_start"] = torch.tensor(-1 if started is None else started)
    return flat


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def table(run: RunFolder) -> list[dict[str, str]]:
    """`metrics.csv` without timings."""
    with run.metrics.open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("images_per_second", "data_wait")} for row in rows]


def interrupt_at(epoch: int, batch: int, number: int = signal.SIGINT) -> Recorder:
    return Recorder(lambda e, b: os.kill(os.getpid(), number) if (e, b) == (epoch, batch) else None)
