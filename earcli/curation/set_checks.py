"""Faults between samples: duplicates, near-duplicates, and leaks between the parts of a split."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from earcli.curation.duplicates import connect_equal, find_near_duplicates, label_groups
from earcli.curation.findings import Finding
from earcli.curation.split_part import SplitPart


class _Position(NamedTuple):
    part: int
    row: int


def find_set_faults(parts: Sequence[SplitPart]) -> Iterator[Finding]:
    """Duplicates, near-duplicates and shared subjects, within and across parts.

    A duplicate within a part is reported for the later sample. A leak is reported for the larger part, so that dropping
    it costs the least and leaves the smaller part, usually the validation set, unchanged.
    """
    positions = [_Position(part.index, row) for part in parts for row in range(len(part.manifest))]
    facts = [item for part in parts for item in part.facts]
    checksums = [item.checksum for item in facts]
    boxes = [tuple(map(str, box)) for part in parts for box in part.manifest.boxes]
    crops = [(checksum, box) if checksum else None for checksum, box in zip(checksums, boxes, strict=True)]
    subjects = [name for part in parts for name in part.manifest.subjects or [""] * len(part.manifest)]

    same_file = connect_equal(checksums)
    crop_groups = label_groups(len(facts), [connect_equal(crops)])
    file_groups = label_groups(len(facts), [same_file])
    lookalike_groups = label_groups(len(facts), [find_near_duplicates(facts), same_file])
    reported: set[_Position] = set()
    for finding in (
        *_within(parts, _members(positions, crop_groups), "copy", "the same crop as"),
        *_across(parts, _members(positions, file_groups), "leak-copy", "the same file as"),
        *_across(parts, _members(positions, lookalike_groups), "leak-lookalike", "looks like"),
        *_within(parts, _members(positions, lookalike_groups), "lookalike", "looks like"),
    ):
        # of these kinds only the first, which is the most serious, is reported for a sample
        if (position := _Position(finding.part, finding.row)) not in reported:
            reported.add(position)
            yield finding
    subject_groups = label_groups(len(facts), [connect_equal(subjects)])
    yield from _across(parts, _members(positions, subject_groups), "leak-subject", "the same person as")


def _members(positions: Sequence[_Position], labels: NDArray[np.int64]) -> Iterator[dict[int, list[int]]]:
    """For each group of two or more samples, its rows by part."""
    order = np.argsort(labels, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(group) > 1:
            rows: dict[int, list[int]] = defaultdict(list)
            for index in group:
                rows[positions[index].part].append(positions[index].row)
            yield rows


def _within(
    parts: Sequence[SplitPart], groups: Iterator[dict[int, list[int]]], kind: str, relation: str
) -> Iterator[Finding]:
    """Reports all but the first sample of each part in a group."""
    for rows_by_part in groups:
        for index, (first, *others) in rows_by_part.items():
            detail = f"{relation} {parts[index].manifest.paths[first]}"
            for row in others:
                yield parts[index].finding(kind, row, detail, len(others))


def _across(
    parts: Sequence[SplitPart], groups: Iterator[dict[int, list[int]]], kind: str, relation: str
) -> Iterator[Finding]:
    """Reports the samples of a group in all parts but the smallest."""
    for rows_by_part in groups:
        smallest = parts[min(rows_by_part, key=lambda index: (len(parts[index].manifest), -index))]
        detail = f"{relation} {smallest.manifest.paths[rows_by_part[smallest.index][0]]} of {smallest.path}"
        for index, rows in rows_by_part.items():
            if index != smallest.index:
                for row in rows:
                    yield parts[index].finding(kind, row, detail, len(rows))
