"""From raw images and annotations to a training and a validation set."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earcli.curation.box_geometry import clip_box, format_box, looks_like_corners, overhang
from earcli.curation.duplicates import connect_equal, find_near_duplicates, label_groups
from earcli.curation.merge import merge_samples
from earcli.curation.scan import PictureFacts, scan
from earcli.curation.split import split_groups
from earcli.curation.subjects import parse_subject_rule
from earcli.data.cache import Progress
from earcli.data.left_out import LeftOut
from earcli.data.samples import Sample
from earcli.data.sources import collect_samples
from earcli.errors import DataError

MAX_OVERHANG = 0.5


@dataclass(frozen=True)
class PrepareOptions:
    """How a set is prepared; see `earcli.prepare`."""

    task: str = "teacher"
    subject: str = "none"
    split: float = 0.8
    seed: int = 0
    root_dir: Path | None = None
    num_workers: int = 4
    category: str | None = None
    whole_pictures: bool = False


@dataclass(frozen=True)
class PreparedSet:
    """A set and its split.

    Attributes:
        samples: N ears, sorted by path and box.
        facts: What the scan measured of each.
        is_validation: (N,) True for validation.
        left_out: What is excluded.
        groups: (N,) equal for ears that are related: of one file or subject, or near-duplicates.
        subjects: The number of known subjects.
        lookalikes: The number of ears with a near-duplicate.
        notes: What was done to the labels of a file, a line each.
    """

    samples: list[Sample]
    facts: list[PictureFacts]
    is_validation: NDArray[np.bool_]
    left_out: list[LeftOut]
    groups: NDArray[np.int64]
    subjects: int
    lookalikes: int
    notes: list[str] = field(default_factory=list)


def prepare_set(
    sources: Sequence[Path], options: PrepareOptions, progress: Progress | None = None, scan_log: Path | None = None
) -> PreparedSet:
    """Collects, merges, checks and splits the samples of the sources. Writes only `scan_log`; see `scan`.

    Args:
        sources: Folders, which are searched recursively, and annotation files.
        options: How to prepare.
        progress: Called while images are opened.
        scan_log: See `scan`.

    Raises:
        ConfigError: The subject rule is invalid.
        DataError: There is no image, no ear can be used, or all ears are related.
        RunError: The log cannot be written.
    """
    contents = collect_samples(
        sources, parse_subject_rule(options.subject), options.root_dir, options.category, options.whole_pictures
    )
    merged, conflicts = merge_samples(contents.samples)
    samples, unsuitable = _select_for_task(merged, options.task)
    boxes = np.array([sample.box for sample in samples]).reshape(-1, 4)
    facts = scan([Path(sample.path) for sample in samples], boxes, options.num_workers, progress, scan_log)
    kept, faulty = _select_usable(samples, facts)
    left_out = [*contents.left_out, *conflicts, *unsuitable, *faulty]
    if not kept:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in Counter(item.reason for item in left_out).most_common(3))
        raise DataError(f"None of {len(merged)} ears can be used for `task` {options.task}: {reasons or 'no ears'}.")
    facts = [facts[i] for i in kept]
    samples = [
        replace(samples[i], box=clip_box(samples[i].box, fact.size)) for i, fact in zip(kept, facts, strict=True)
    ]

    subjects = [sample.subject for sample in samples]
    near_duplicates = find_near_duplicates(facts)
    same_file = connect_equal(fact.checksum for fact in facts)
    groups = label_groups(len(samples), [near_duplicates, connect_equal(subjects), same_file])
    return PreparedSet(
        samples,
        facts,
        split_groups(groups, options.split, options.seed),
        left_out,
        groups,
        len({*subjects} - {""}),
        len(np.unique(near_duplicates)),
        contents.notes,
    )


def _select_for_task(samples: list[Sample], task: str) -> tuple[list[Sample], list[LeftOut]]:
    """The samples that have the labels that a task needs, and the others."""
    if task == "teacher":
        return samples, []
    if task == "detector":
        suitable, reason = [not np.isnan(sample.box[0]) for sample in samples], "no box"
    else:
        suitable, reason = [sample.keypoints is not None for sample in samples], "no keypoints"
    pairs = list(zip(samples, suitable, strict=True))
    left_out = [LeftOut(sample.label, sample.source, reason) for sample, ok in pairs if not ok]
    return [sample for sample, ok in pairs if ok], left_out


def _select_usable(samples: Sequence[Sample], facts: Sequence[PictureFacts]) -> tuple[list[int], list[LeftOut]]:
    """The indices of the samples without fault and not duplicated before, and the others."""
    kept, left_out = [], []
    first: dict[tuple[str, str], int] = {}
    for index, (sample, fact) in enumerate(zip(samples, facts, strict=True)):
        reason = fact.detail if fact.fault else _box_fault(np.array(sample.box), fact.size)
        if not reason:
            original = first.setdefault((fact.checksum, format_box(sample.box)), index)
            reason = _describe_copy(sample, samples[original]) if original != index else ""
        if reason:
            left_out.append(LeftOut(sample.label, sample.source, reason))
        else:
            kept.append(index)
    return kept, left_out


def _box_fault(box: NDArray[np.float64], size: tuple[int, int]) -> str:
    """Why a box does not fit an image of a width and height; "" if it does."""
    if not np.isfinite(box).all():
        return ""
    pixels = f"{size[0]}×{size[1]} pixels"
    if looks_like_corners(box, size):
        return f"box {format_box(box)} fits {pixels} only as xmin, ymin, xmax, ymax"
    if overhang(box, size) > MAX_OVERHANG:
        return f"box {format_box(box)} lies mostly outside the image of {pixels}"
    return ""


def _describe_copy(sample: Sample, original: Sample) -> str:
    reason = f"the same image as {original.label}"
    if original.subject != sample.subject:
        reason += f", which is of subject {original.subject!r}, not {sample.subject!r}"
    return reason
