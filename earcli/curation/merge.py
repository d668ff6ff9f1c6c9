"""Merges the samples that several sources have of one picture."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from earcli.curation.box_geometry import box_iou, format_box
from earcli.curation.left_out import LeftOut
from earcli.curation.sources import Sample

SAME_BOX = 0.9
SAME_DERIVED_BOX = 0.5


@dataclass(frozen=True)
class _Ear:
    sample: Sample
    box: NDArray[np.float64]  # NaN: the whole picture
    derived: bool  # from keypoints, so that another source's box may differ


def merge(samples: Iterable[Sample]) -> tuple[list[Sample], list[LeftOut]]:
    """One sample per ear, in the order of paths and boxes.

    Boxes of two sources are the same ear if their intersection over union is 0.9 or more, or 0.5 if one comes from
    keypoints. A source may have fewer ears of a picture than another. Two sources that each have an ear that the other
    lacks, or that name different subjects, contradict each other, and the picture is left out.
    """
    by_picture: dict[str, dict[str, list[Sample]]] = {}
    for sample in samples:
        by_picture.setdefault(sample.path, {}).setdefault(sample.source, []).append(sample)
    merged, left_out = [], []
    for path in sorted(by_picture):
        try:
            ears = _merge_picture(list(by_picture[path].values()))
        except ValueError as error:
            first = next(iter(by_picture[path].values()))[0]
            left_out.append(LeftOut(first.label, first.source, str(error)))
        else:
            merged += sorted((_with_box(ear) for ear in ears), key=lambda sample: sample.box)
    return merged, left_out


def _with_box(ear: _Ear) -> Sample:
    return replace(ear.sample, box=tuple(ear.box.tolist()))


def _merge_picture(sources: Sequence[Sequence[Sample]]) -> list[_Ear]:
    ears: list[_Ear] = []
    for samples in sources:
        new = [_ear(sample) for sample in samples]
        if not ears:
            ears = new
            continue
        pairs = _matches(ears, new)
        matched_old, matched_new = {i for i, _ in pairs}, {j for _, j in pairs}
        boxed_old = [i for i, ear in enumerate(ears) if i not in matched_old and not np.isnan(ear.box[0])]
        boxed_new = [j for j, ear in enumerate(new) if j not in matched_new and not np.isnan(ear.box[0])]
        if boxed_old and boxed_new:
            a, b = ears[boxed_old[0]], new[boxed_new[0]]
            raise ValueError(
                f"{a.sample.source} has an ear at {format_box(a.box)}, {b.sample.source} has none there but one at "
                f"{format_box(b.box)}"
            )
        for i, j in pairs:
            ears[i] = _join(ears[i], new[j])
        ears += [ear for j, ear in enumerate(new) if j not in matched_new]
    return _resolve(ears)


def _resolve(ears: list[_Ear]) -> list[_Ear]:
    """Drops whole pictures where boxes are known, and gives the only subject name to all ears."""
    subjects = sorted({ear.sample.subject for ear in ears} - {""})
    whole = [ear for ear in ears if np.isnan(ear.box[0])]
    boxed = [ear for ear in ears if not np.isnan(ear.box[0])]
    if (whole or len(ears) == 1) and len(subjects) > 1:
        raise ValueError(f"sources name different subjects: {', '.join(map(repr, subjects))}")
    kept = boxed or whole[:1]
    if len(subjects) == 1:
        kept = [replace(ear, sample=replace(ear.sample, subject=subjects[0])) for ear in kept]
    return kept


def _ear(sample: Sample) -> _Ear:
    box = np.array(sample.box)
    if np.isnan(box[0]) and sample.keypoints is not None and len(sample.keypoints.labeled()):
        return _Ear(sample, sample.keypoints.box(), derived=True)
    return _Ear(sample, box, derived=False)


def _matches(old: Sequence[_Ear], new: Sequence[_Ear]) -> list[tuple[int, int]]:
    pairs, taken = [], set()
    for j, b in enumerate(new):
        for i, a in enumerate(old):
            wanted = SAME_DERIVED_BOX if a.derived or b.derived else SAME_BOX
            if i not in taken and box_iou(a.box, b.box) >= wanted:
                pairs.append((i, j))
                taken.add(i)
                break
    return pairs


def _join(a: _Ear, b: _Ear) -> _Ear:
    one, two = a.sample.subject, b.sample.subject
    if one and two and one != two:
        raise ValueError(f"{a.sample.source} names the subject {one!r}, {b.sample.source} {two!r}")
    base, other = (b, a) if a.derived and not b.derived else (a, b)
    points = base.sample.keypoints or other.sample.keypoints
    sample = replace(base.sample, subject=one or two, keypoints=points)
    return _Ear(sample, base.box, base.derived)
