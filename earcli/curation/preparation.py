"""From whatever a person has to a set that can be trained on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.curation.boxes import looks_like_corners, overhang
from earcli.curation.duplicates import equal_values, groups, near_duplicates
from earcli.curation.merge import merge
from earcli.curation.scan import Facts, scan
from earcli.curation.sources import LeftOut, Sample, find, subject_rule
from earcli.curation.split import split_groups
from earcli.data.cache import Progress
from earcli.errors import ConfigError, DataError

TASKS = ("teacher", "detector", "landmarks")
MAX_OVERHANG = 0.5


@dataclass(frozen=True)
class Prepared:
    """A set, divided.

    Attributes:
        samples: the ears, in the order of paths and boxes.
        facts: of each.
        held_out: (N,) True for validation.
        left_out: what was not used, and why.
        groups: (N,) ears of one group belong together: same file, same subject, or they look the same.
        subjects: how many people are known.
        lookalikes: how many ears look like another one.
    """

    samples: list[Sample]
    facts: list[Facts]
    held_out: NDArray[np.bool_]
    left_out: list[LeftOut]
    groups: NDArray[np.int64]
    subjects: int
    lookalikes: int


@dataclass(frozen=True)
class Wishes:
    """How a set is to be prepared; the attributes are the flags of `ear prepare`.

    Raises:
        ConfigError: a value that a flag cannot have.
    """

    task: str = "teacher"
    subject: str = "none"
    split: float = 0.8
    seed: int = 0
    root_dir: Path | None = None
    num_workers: int = 4

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigError(f"--task must be one of {', '.join(TASKS)}, got {self.task!r}.")
        if not 0 < self.split < 1:
            raise ConfigError(f"--split must be more than 0 and less than 1, got {self.split:g}.")
        if self.root_dir is not None and not self.root_dir.is_dir():
            raise ConfigError(f"--root-dir {self.root_dir} is no folder. Give the folder that paths start from.")


def prepare(
    sources: Sequence[Path], wishes: Wishes, progress: Progress | None = None, notes: Path | None = None
) -> Prepared:
    """Finds, opens, sorts out and divides; writes nothing but `notes` (see `scan`).

    Raises:
        ConfigError: `--subject` is no rule.
        DataError: no picture was found, none can be used, or all belong together.
        RunError: `notes` cannot be written.
    """
    found = find(sources, subject_rule(wishes.subject), wishes.root_dir)
    samples, disputed = merge(found.samples)
    left_out = [*found.left_out, *disputed]
    samples = _fit_for(wishes.task, samples, left_out)
    boxes = np.array([sample.box for sample in samples]).reshape(-1, 4)
    facts = scan([Path(s.path) for s in samples], boxes, wishes.num_workers, progress, notes)
    kept = _usable(samples, facts, left_out)
    if not kept:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in Counter(item.reason for item in left_out).most_common(3))
        raise DataError(f"None of {len(samples)} ears can be used for --task {wishes.task}: {reasons or 'none found'}.")
    samples, facts = [_cut(samples[i], facts[i].size) for i in kept], [facts[i] for i in kept]
    alike = near_duplicates(facts)
    known = [sample.subject for sample in samples]
    files = equal_values(fact.checksum for fact in facts)
    labels = groups(len(samples), [alike, equal_values(known), files])
    held_out = split_groups(labels, wishes.split, wishes.seed)
    return Prepared(samples, facts, held_out, left_out, labels, len({*known} - {""}), len(np.unique(alike)))


def _fit_for(task: str, samples: list[Sample], left_out: list[LeftOut]) -> list[Sample]:
    """The samples that have what a task needs."""
    if task == "teacher":
        return samples
    if task == "detector":
        fit, reason = [not np.isnan(s.box[0]) for s in samples], "no box, which --task detector needs"
    else:
        fit, reason = [s.keypoints is not None for s in samples], "no key points, which --task landmarks needs"
    left_out += [LeftOut(s.label, s.source, reason) for s, ok in zip(samples, fit, strict=True) if not ok]
    return [s for s, ok in zip(samples, fit, strict=True) if ok]


def _usable(samples: Sequence[Sample], facts: Sequence[Facts], left_out: list[LeftOut]) -> list[int]:
    """The samples that can be read and are there for the first time."""
    kept = []
    first: dict[tuple[str, tuple[str, ...]], int] = {}
    for index, (sample, fact) in enumerate(zip(samples, facts, strict=True)):
        box = np.array(sample.box)
        if fact.fault:
            reason = fact.detail
        elif np.isfinite(box).all() and looks_like_corners(box, fact.size):
            reason = f"box {box.tolist()} fits {fact.size[0]}×{fact.size[1]} pixels only as xmin, ymin, xmax, ymax"
        elif np.isfinite(box).all() and overhang(box, fact.size) > MAX_OVERHANG:
            reason = f"box {box.tolist()} lies mostly outside the picture of {fact.size[0]}×{fact.size[1]} pixels"
        elif (same := first.setdefault((fact.checksum, tuple(f"{value:g}" for value in sample.box)), index)) != index:
            reason = f"the same picture as {samples[same].label}"
            if samples[same].subject != sample.subject:
                reason += f", which is of subject {samples[same].subject!r}, not {sample.subject!r}"
        else:
            kept.append(index)
            continue
        left_out.append(LeftOut(sample.label, sample.source, reason))
    return kept


def _cut(sample: Sample, size: tuple[int, int]) -> Sample:
    """The part of a box that lies in the picture, which is what is cropped anyway."""
    if np.isnan(sample.box[0]):
        return sample
    x, y, width, height = sample.box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, float(size[0])), min(y + height, float(size[1]))
    inside = (left, top) == (x, y) and (right, bottom) == (x + width, y + height)
    return sample if inside else replace(sample, box=(left, top, right - left, bottom - top))
