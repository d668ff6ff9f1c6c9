"""Faults that samples have together: copies, look-alikes, and people on two sides of a split."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from earcli.curation.duplicates import equal_values, groups, near_duplicates
from earcli.curation.findings import Finding, Side

Place = tuple[int, int]  # number of the side, row


def set_findings(sides: Sequence[Side]) -> Iterator[Finding]:
    """Copies, look-alikes and people, within each side and across sides.

    A copy within a side is laid to the later one; what is on two sides is laid to the larger side, so that dropping it
    costs the least and leaves the smaller side, which usually validates, as it is.
    """
    places = [(number, row) for number, side in enumerate(sides) for row in range(len(side.manifest))]
    facts = [sides[number].facts[row] for number, row in places]
    boxes = [tuple(map(str, sides[number].manifest.boxes[row])) for number, row in places]
    files = [fact.checksum for fact in facts]
    crops = [(file, box) if file else None for file, box in zip(files, boxes, strict=True)]
    same_file = groups(len(places), [equal_values(files)])
    same_crop = groups(len(places), [equal_values(crops)])
    alike = groups(len(places), [near_duplicates(facts), equal_values(files)])
    judged: set[Place] = set()
    for found in (
        *_within("copy", "the same crop as", same_crop, places, sides),
        *_across("leak-copy", "the same file as", same_file, places, sides),
        *_across("leak-lookalike", "looks like", alike, places, sides),
        *_within("lookalike", "looks like", alike, places, sides),
    ):
        # one finding of this family a sample: the first is the gravest
        if (found.side, found.row) not in judged:
            judged.add((found.side, found.row))
            yield found
    subjects = groups(len(places), [equal_values(_subject(sides, place) for place in places)])
    yield from _across("leak-subject", "the same person as", subjects, places, sides)


def _subject(sides: Sequence[Side], place: Place) -> str:
    subjects = sides[place[0]].manifest.subjects
    return subjects[place[1]] if subjects else ""


def _members(labels: NDArray[np.int64], places: Sequence[Place]) -> Iterator[dict[int, list[Place]]]:
    """The members of every group of two or more, by side."""
    order = np.argsort(labels, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(part) > 1:
            by_side: dict[int, list[Place]] = defaultdict(list)
            for index in part:
                by_side[places[index][0]].append(places[index])
            yield by_side


def _within(
    kind: str, words: str, labels: NDArray[np.int64], places: Sequence[Place], sides: Sequence[Side]
) -> Iterator[Finding]:
    for by_side in _members(labels, places):
        for first, *others in by_side.values():
            for number, row in others:
                yield Finding(kind, number, row, f"{words} {_name(sides, first)}", float(len(others)))


def _across(
    kind: str, words: str, labels: NDArray[np.int64], places: Sequence[Place], sides: Sequence[Side]
) -> Iterator[Finding]:
    for by_side in _members(labels, places):
        spared = min(by_side, key=lambda number: (len(sides[number].manifest), -number))
        for number, members in by_side.items():
            if number == spared:
                continue
            for _, row in members:
                detail = f"{words} {_name(sides, by_side[spared][0])} of {sides[spared].name}"
                yield Finding(kind, number, row, detail, float(len(members)))


def _name(sides: Sequence[Side], place: Place) -> str:
    return sides[place[0]].manifest.paths[place[1]]
