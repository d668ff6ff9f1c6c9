"""What can be wrong with a sample."""

from dataclasses import dataclass

from earcli.curation.scan import Facts
from earcli.data.manifest import Manifest


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    Attributes:
        harmful: training suffers from it; `ear check` then exits with 1, and `--drop` drops the sample.
        meaning: in a few words, for the table.
    """

    harmful: bool
    meaning: str


KINDS = {
    "row": Kind(True, "row of the manifest cannot be read"),
    "missing": Kind(True, "no such file"),
    "empty": Kind(True, "file of 0 bytes"),
    "foreign": Kind(True, "content is no picture"),
    "truncated": Kind(True, "file ends too early"),
    "unreadable": Kind(True, "cannot be decoded"),
    "too-large": Kind(True, "over the limit of pixels"),
    "changed": Kind(True, "not the file that was prepared (checksum)"),
    "box-infinite": Kind(True, "box is not finite"),
    "box-empty": Kind(True, "box without area"),
    "box-outside": Kind(True, "box outside the picture"),
    "box-convention": Kind(True, "box fits only as corners, or only as sizes"),
    "box-overhang": Kind(False, "part of the box is outside"),
    "constant": Kind(True, "next to no contrast"),
    "tiny": Kind(False, "crop under 32 pixels"),
    "blurred": Kind(False, "no detail at 64 pixels"),
    "turned": Kind(False, "turned by its EXIF tag"),
    "extension": Kind(False, "extension is of another format"),
    "points-outside": Kind(True, "key points outside the box"),
    "points-layout": Kind(False, "key points in an unusual layout"),
    "copy": Kind(True, "the same crop again, same side"),
    "lookalike": Kind(False, "looks like another, same side"),
    "leak-copy": Kind(True, "the same picture on another side"),
    "leak-lookalike": Kind(True, "looks like one on another side"),
    "leak-subject": Kind(True, "a person on two sides"),
}


@dataclass(frozen=True)
class Side:
    """One manifest, with what its pictures are like, and what is wrong with rows that could not be read."""

    name: str
    manifest: Manifest
    facts: list[Facts]
    bad_rows: list[str]


@dataclass(frozen=True)
class Finding:
    """One fault of one sample.

    Attributes:
        kind: a key of `KINDS`.
        side: number of the manifest.
        row: of the sample in it; -1 for one that could not be read.
        detail: what exactly, for `bad_files.csv`.
        severity: how bad among its kind; the highest are shown.
    """

    kind: str
    side: int
    row: int
    detail: str
    severity: float = 0.0
