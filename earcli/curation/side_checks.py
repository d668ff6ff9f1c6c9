"""Ears whose side is uncertain, or labeled as the other one."""

from collections.abc import Iterator, Sequence

import numpy as np

from earcli.curation.findings import Finding
from earcli.curation.split_part import SplitPart

MIN_EARS = 100
"""With fewer, more than one estimate in twenty is wrong (docs/benchmarks.md)."""


def find_side_faults(parts: Sequence[SplitPart], seed: int = 0) -> Iterator[Finding]:
    """Wrong and uncertain sides, by an estimator that is fitted to all parts; none if they have under 100 ears."""
    from earcli.analysis.laterality import DOUBTFUL_LOGIT, estimate_sides, fit_laterality  # imports torch

    samples = [(part, row) for part in parts for row, facts in enumerate(part.facts) if facts.thumbnail]
    if len(samples) < MIN_EARS:
        return
    gray = np.stack([part.facts[row].thumbnail_pixels() for part, row in samples])
    pixels = np.repeat(gray[..., None], 3, axis=3)  # (N, 32, 32, 3)
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
