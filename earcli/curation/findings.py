"""The kinds of faults that `ear check` reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FindingKind:
    """A kind of fault.

    Attributes:
        harmful: Whether it harms training: `ear check` then exits with 1, and can drop the sample.
        meaning: A few words for the table.
    """

    harmful: bool
    meaning: str


KINDS = {
    "row": FindingKind(True, "manifest row cannot be read"),
    "scaled": FindingKind(True, "label of another size or unit, or turned"),
    "missing": FindingKind(True, "file does not exist"),
    "empty": FindingKind(True, "file has 0 bytes"),
    "foreign": FindingKind(True, "content is not an image"),
    "truncated": FindingKind(True, "file ends too early"),
    "own": FindingKind(True, "sheet or plot that ear drew"),
    "unreadable": FindingKind(True, "file cannot be decoded"),
    "too-large": FindingKind(True, "over the pixel limit"),
    "changed": FindingKind(True, "checksum differs from the manifest's"),
    "box-infinite": FindingKind(True, "box is not finite"),
    "box-empty": FindingKind(True, "box has no area"),
    "box-outside": FindingKind(True, "box is outside the image"),
    "box-convention": FindingKind(True, "box fits only in the other convention"),
    "box-overhang": FindingKind(False, "part of the box is outside the image"),
    "constant": FindingKind(True, "almost no contrast"),
    "tiny": FindingKind(False, "crop under 32 pixels"),
    "blurred": FindingKind(False, "no detail at 64 pixels"),
    "turned": FindingKind(False, "rotated by an EXIF tag"),
    "extension": FindingKind(False, "extension of another format"),
    "side-label": FindingKind(True, "labeled as the other side"),
    "side-doubtful": FindingKind(False, "left or right is uncertain"),
    "points-outside": FindingKind(True, "keypoints outside the box"),
    "points-layout": FindingKind(False, "keypoints in an unusual layout"),
    "copy": FindingKind(True, "duplicate crop in the same split"),
    "lookalike": FindingKind(False, "near-duplicate in the same split"),
    "leak-copy": FindingKind(True, "same file in another split"),
    "leak-lookalike": FindingKind(True, "near-duplicate in another split"),
    "leak-subject": FindingKind(True, "same person in another split"),
}
"""By id, in the order of the report."""


@dataclass(frozen=True)
class Finding:
    """One fault of one sample.

    Attributes:
        kind: A key of `KINDS`.
        part: Index of the manifest.
        row: Index of the sample in the manifest; -1 for a row that cannot be read.
        path: The image as the manifest names it; "" for a row that cannot be read.
        detail: What exactly is wrong.
        severity: Comparable within a kind; the highest are shown.
    """

    kind: str
    part: int
    row: int
    path: str
    detail: str
    severity: float = 0.0

    @property
    def harmful(self) -> bool:
        return KINDS[self.kind].harmful


def count_kind(findings: Sequence[Finding], kind: str, parts: int) -> list[int]:
    """The findings of a kind in each of `parts` manifests."""
    return [sum(f.kind == kind and f.part == part for f in findings) for part in range(parts)]


def summarize(manifests: Sequence[Path], ears: Sequence[int], findings: Sequence[Finding]) -> dict[str, Any]:
    """The content of `check.json`, as plain values.

    Args:
        manifests: The manifests that were checked.
        ears: The number of ears in each.
        findings: The faults in all of them.
    """
    return {
        "manifests": [{"path": str(path), "ears": count} for path, count in zip(manifests, ears, strict=True)],
        "harmful": sum(finding.harmful for finding in findings),
        "kinds": {
            name: {
                "meaning": kind.meaning,
                "harmful": kind.harmful,
                "counts": count_kind(findings, name, len(manifests)),
            }
            for name, kind in KINDS.items()
        },
        "findings": [
            {"kind": f.kind, "manifest": f.part, "row": f.row, "path": f.path, "detail": f.detail} for f in findings
        ],
    }
