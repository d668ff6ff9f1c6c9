"""Ears whose side is uncertain, or labeled as the other one."""

import base64
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from earcli.curation.findings import Finding
from earcli.curation.scan import THUMBNAIL_SIDE, PictureFacts
from earcli.curation.split_part import SplitPart

MIN_EARS = 100
"""With fewer, about one estimate in ten is wrong (docs/benchmarks.md)."""


def find_side_faults(parts: Sequence[SplitPart], seed: int = 0) -> Iterator[Finding]:
    """Findings on left and right, from an estimate that is fitted to all parts; none if they have under 100 ears."""
    from earcli.analysis.laterality import DOUBTFUL_LOGIT, estimate_sides, fit_laterality  # imports torch

    samples = [(part, row) for part in parts for row, facts in enumerate(part.facts) if facts.thumbnail]
    if len(samples) < MIN_EARS:
        return
    pixels = np.stack([_thumbnail(part.facts[row]) for part, row in samples])
    sides = {id(part): part.manifest.side_numbers() for part in parts}
    known = np.array([sides[id(part)][row] for part, row in samples], np.int8)
    logits = estimate_sides(fit_laterality(pixels, known, seed), pixels)
    for (part, row), side, logit in zip(samples, known.tolist(), logits.tolist(), strict=True):
        if side * logit > DOUBTFUL_LOGIT:  # a positive logit is a right ear
            label, other = ("left", "right") if side > 0 else ("right", "left")
            yield part.finding("side-label", row, f"labeled as a {label} ear, looks like a {other} one", abs(logit))
        elif not side and abs(logit) < DOUBTFUL_LOGIT:
            likely = 1 / (1 + np.exp(-abs(logit)))
            detail = f"a {'right' if logit > 0 else 'left'} ear with a probability of {likely:.0%}"
            yield part.finding("side-doubtful", row, detail, -abs(logit))


def _thumbnail(facts: PictureFacts) -> NDArray[np.uint8]:
    """(32, 32, 3), gray."""
    gray = np.frombuffer(base64.b64decode(facts.thumbnail), np.uint8).reshape(THUMBNAIL_SIDE, THUMBNAIL_SIDE, 1)
    return np.repeat(gray, 3, axis=2)
