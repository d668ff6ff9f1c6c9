"""Merging what several sources say about one image into one list of ears."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from earcli.curation.box_geometry import box_iou, format_box
from earcli.data.left_out import LeftOut
from earcli.data.samples import Sample

MIN_IOU = 0.9
MIN_DERIVED_IOU = 0.5


@dataclass(frozen=True)
class _Ear:
    sample: Sample
    box: NDArray[np.float64]  # NaN for the whole image
    derived: bool  # from keypoints, so that another source's box may differ more

    @property
    def is_whole(self) -> bool:
        return bool(np.isnan(self.box[0]))


class _Match(NamedTuple):
    old: int
    new: int


class _ConflictError(Exception):
    """Sources contradict each other; the message says how."""


def merge_samples(samples: Iterable[Sample]) -> tuple[list[Sample], list[LeftOut]]:
    """One sample per ear, sorted by path and box, and the images on which sources disagree.

    Boxes from two sources show the same ear if their intersection over union is 0.9 or more; 0.5 if one of them was
    derived from keypoints. A source may lack ears that another has. An image is left out if each of two sources has an
    ear that the other lacks, or if they name different subjects.
    """
    by_image: dict[str, dict[str, list[Sample]]] = {}
    for sample in samples:
        by_image.setdefault(sample.path, {}).setdefault(sample.source, []).append(sample)
    merged, left_out = [], []
    for path in sorted(by_image):
        sources = list(by_image[path].values())
        try:
            ears = _merge_image(sources)
        except _ConflictError as conflict:
            first = sources[0][0]
            left_out.append(LeftOut(first.label, first.source, str(conflict)))
        else:
            boxed = (replace(ear.sample, box=tuple(ear.box.tolist())) for ear in ears)
            merged += sorted(boxed, key=lambda sample: sample.box)
    return merged, left_out


def _merge_image(sources: Sequence[Sequence[Sample]]) -> list[_Ear]:
    """Merges the samples of one image, which are given by source."""
    ears: list[_Ear] = []
    for samples in sources:
        new = [_to_ear(sample) for sample in samples]
        matches = _match(ears, new)
        matched_old, matched_new = {match.old for match in matches}, {match.new for match in matches}
        only_old = [ear for i, ear in enumerate(ears) if i not in matched_old and not ear.is_whole]
        only_new = [ear for i, ear in enumerate(new) if i not in matched_new and not ear.is_whole]
        if only_old and only_new:
            a, b = only_old[0], only_new[0]
            raise _ConflictError(
                f"{a.sample.source} has an ear at {format_box(a.box)}, {b.sample.source} has none there but one at "
                f"{format_box(b.box)}"
            )
        for match in matches:
            ears[match.old] = _join(ears[match.old], new[match.new])
        ears += [ear for i, ear in enumerate(new) if i not in matched_new]
    return _resolve_image(ears)


def _resolve_image(ears: list[_Ear]) -> list[_Ear]:
    """Drops "the whole image" if there are boxes, and gives the only subject to all ears."""
    subjects = sorted({ear.sample.subject for ear in ears} - {""})
    whole = [ear for ear in ears if ear.is_whole]
    boxed = [ear for ear in ears if not ear.is_whole]
    if (whole or len(ears) == 1) and len(subjects) > 1:
        raise _ConflictError(f"sources name different subjects: {', '.join(map(repr, subjects))}")
    kept = boxed or whole[:1]
    if len(subjects) == 1:
        kept = [replace(ear, sample=replace(ear.sample, subject=subjects[0])) for ear in kept]
    return kept


def _to_ear(sample: Sample) -> _Ear:
    box = np.array(sample.box)
    if np.isnan(box[0]) and sample.keypoints is not None and len(sample.keypoints.labeled()):
        return _Ear(sample, sample.keypoints.box(), derived=True)
    return _Ear(sample, box, derived=False)


def _match(old: Sequence[_Ear], new: Sequence[_Ear]) -> list[_Match]:
    matches: dict[int, _Match] = {}
    for j, b in enumerate(new):
        for i, a in enumerate(old):
            threshold = MIN_DERIVED_IOU if a.derived or b.derived else MIN_IOU
            if i not in matches and box_iou(a.box, b.box) >= threshold:
                matches[i] = _Match(i, j)
                break
    return list(matches.values())


def _join(a: _Ear, b: _Ear) -> _Ear:
    first, second = a.sample.subject, b.sample.subject
    if first and second and first != second:
        raise _ConflictError(f"{a.sample.source} names the subject {first!r}, {b.sample.source} {second!r}")
    if a.sample.side and b.sample.side and a.sample.side != b.sample.side:
        raise _ConflictError(f"{a.sample.source} has a {a.sample.side} ear, {b.sample.source} a {b.sample.side} one")
    base, other = (b, a) if a.derived and not b.derived else (a, b)
    keypoints = base.sample.keypoints or other.sample.keypoints
    sample = replace(base.sample, subject=first or second, keypoints=keypoints, side=a.sample.side or b.sample.side)
    return _Ear(sample, base.box, base.derived)
