"""Collects, scans, filters and splits samples into a dataset."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.curation.box_geometry import clip_box, looks_like_corners, overhang
from earcli.curation.duplicates import connect_equal, find_near_duplicates, label_groups
from earcli.curation.left_out import LeftOut
from earcli.curation.merge import merge
from earcli.curation.scan import PictureFacts, scan
from earcli.curation.sources import Sample, collect_samples, subject_rule
from earcli.curation.split import split_groups
from earcli.data.cache import Progress
from earcli.errors import ConfigError, DataError

TASKS = ("teacher", "detector", "landmarks")
MAX_OVERHANG = 0.5


@dataclass(frozen=True)
class Prepared:
    """A dataset and its split.

    Attributes:
        samples: the ears, in the order of paths and boxes.
        facts: of each.
        held_out: (N,) True for validation.
        left_out: what is excluded, and why.
        groups: (N,) the group of each ear: same file, same subject, or near-duplicates.
        subjects: number of known people.
        lookalikes: number of ears with a near-duplicate.
    """

    samples: list[Sample]
    facts: list[PictureFacts]
    held_out: NDArray[np.bool_]
    left_out: list[LeftOut]
    groups: NDArray[np.int64]
    subjects: int
    lookalikes: int


@dataclass(frozen=True)
class PrepareOptions:
    """The options of `earcli.prepare`.

    Raises:
        ConfigError: an option has an invalid value.
    """

    task: str = "teacher"
    subject: str = "none"
    split: float = 0.8
    seed: int = 0
    root_dir: Path | None = None
    num_workers: int = 4

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigError(f"`task` must be one of {', '.join(TASKS)}, got {self.task!r}.")
        if not 0 < self.split < 1:
            raise ConfigError(f"`split` must be more than 0 and less than 1, got {self.split:g}.")
        if self.root_dir is not None and not self.root_dir.is_dir():
            raise ConfigError(
                f"`root_dir` {self.root_dir} is not a folder. Give the folder that paths are resolved against."
            )


def prepare_dataset(
    sources: Sequence[Path], options: PrepareOptions, progress: Progress | None = None, scan_log: Path | None = None
) -> Prepared:
    """Collects, scans, filters and splits samples; writes nothing but the scan log.

    Args:
        sources: folders, or annotation files.
        options: see `earcli.prepare`.
        progress: called while pictures are opened.
        scan_log: see `scan`.

    Raises:
        ConfigError: `subject` is not a rule.
        DataError: no picture was found, none can be used, or all are related.
        RunError: `scan_log` cannot be written.
    """
    contents = collect_samples(sources, subject_rule(options.subject), options.root_dir)
    samples, contradictory = merge(contents.samples)
    left_out = [*contents.left_out, *contradictory]
    samples = _fit_for(options.task, samples, left_out)
    boxes = np.array([sample.box for sample in samples]).reshape(-1, 4)
    facts = scan([Path(s.path) for s in samples], boxes, options.num_workers, progress, scan_log)
    kept = _usable(samples, facts, left_out)
    if not kept:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in Counter(item.reason for item in left_out).most_common(3))
        raise DataError(
            f"None of {len(samples)} ears can be used for `task` {options.task}: {reasons or 'none found'}."
        )
    samples, facts = (
        [replace(samples[i], box=clip_box(samples[i].box, facts[i].size)) for i in kept],
        [facts[i] for i in kept],
    )
    alike = find_near_duplicates(facts)
    known = [sample.subject for sample in samples]
    files = connect_equal(fact.checksum for fact in facts)
    labels = label_groups(len(samples), [alike, connect_equal(known), files])
    held_out = split_groups(labels, options.split, options.seed)
    return Prepared(samples, facts, held_out, left_out, labels, len({*known} - {""}), len(np.unique(alike)))


def _fit_for(task: str, samples: list[Sample], left_out: list[LeftOut]) -> list[Sample]:
    """The samples with the labels that a task needs."""
    if task == "teacher":
        return samples
    if task == "detector":
        fit, reason = [not np.isnan(s.box[0]) for s in samples], "no box, which the task detector needs"
    else:
        fit, reason = [s.keypoints is not None for s in samples], "no keypoints, which the task landmarks needs"
    left_out += [LeftOut(s.label, s.source, reason) for s, ok in zip(samples, fit, strict=True) if not ok]
    return [s for s, ok in zip(samples, fit, strict=True) if ok]


def _usable(samples: Sequence[Sample], facts: Sequence[PictureFacts], left_out: list[LeftOut]) -> list[int]:
    """The samples that can be read and are not exact duplicates."""
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
