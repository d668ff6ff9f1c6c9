"""Everything that is wrong with a set, before it is trained on."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.curation.checks import sample_findings
from earcli.curation.findings import KINDS, Finding, Side
from earcli.curation.leaks import set_findings
from earcli.curation.scan import scan
from earcli.curation.shapes import layout_findings, outside_findings
from earcli.data.cache import Progress
from earcli.data.images import BadPictureError, quiet_decoding, read_crop
from earcli.data.manifest import read_manifest, write_columns
from earcli.errors import ConfigError, DataError
from earcli.files import atomic_write, relative_posix, write_csv
from earcli.reporting.plots import labeled_rows, save_image

SHEET_SIDE = 96
SHEET_COLUMNS = 10
CLEANED = "cleaned"


def open_sides(paths: Sequence[Path], root: Path | None, workers: int, progress: Progress | None = None) -> list[Side]:
    """Reads manifests and opens every picture that they name.

    Raises:
        ManifestError: a manifest cannot be read at all.
    """
    sides = []
    for path in paths:
        bad_rows: list[str] = []
        manifest = read_manifest(path, root, bad_rows.append)
        files = [manifest.locate(row) for row in range(len(manifest))]
        sides.append(Side(str(path), manifest, scan(files, manifest.boxes, workers, progress), bad_rows))
    return sides


def check(sides: Sequence[Side]) -> list[Finding]:
    """Every fault of every sample, by kind in the order of `KINDS`, then by side and row."""
    findings = [Finding("row", number, -1, text) for number, side in enumerate(sides) for text in side.bad_rows]
    for number, side in enumerate(sides):
        findings += [*sample_findings(number, side), *outside_findings(number, side)]
    findings += [*layout_findings(sides), *set_findings(sides)]
    order = {kind: place for place, kind in enumerate(KINDS)}
    return sorted(findings, key=lambda item: (order[item.kind], item.side, item.row))


def is_harmful(finding: Finding) -> bool:
    """Whether training suffers from it."""
    return KINDS[finding.kind].harmful


def write_report(folder: Path, sides: Sequence[Side], findings: Sequence[Finding]) -> list[str]:
    """Writes `check.json`, `bad_files.csv` and, where there is something to show, `worst.png`.

    Returns:
        The names of the files.

    Raises:
        RunError: the folder cannot be written.
    """
    rows = [
        (sides[f.side].name, f.row, _path(sides, f), f.kind, "yes" if is_harmful(f) else "no", f.detail)
        for f in findings
    ]
    header = ("manifest", "row", "path", "kind", "harmful", "detail")
    write_csv(folder / "bad_files.csv", header, rows)
    with atomic_write(folder / "check.json") as temporary:
        temporary.write_text(json.dumps(summary(sides, findings), indent=1), encoding="utf-8")
    sheet = _worst(sides, findings)
    if sheet is None:
        (folder / "worst.png").unlink(missing_ok=True)  # of an earlier check
        return ["check.json", "bad_files.csv"]
    save_image(folder / "worst.png", sheet)
    return ["check.json", "bad_files.csv", "worst.png"]


def summary(sides: Sequence[Side], findings: Sequence[Finding]) -> dict[str, Any]:
    """Plain values for `check.json`."""
    counts = Counter((f.kind, f.side) for f in findings)
    return {
        "manifests": [{"path": side.name, "ears": len(side.manifest)} for side in sides],
        "harmful": sum(map(is_harmful, findings)),
        "kinds": {
            kind: {
                "meaning": about.meaning,
                "harmful": about.harmful,
                "counts": [counts[kind, number] for number in range(len(sides))],
            }
            for kind, about in KINDS.items()
        },
        "findings": [
            {"kind": f.kind, "manifest": f.side, "row": f.row, "path": _path(sides, f), "detail": f.detail}
            for f in findings
        ],
    }


def _path(sides: Sequence[Side], finding: Finding) -> str:
    return "" if finding.row < 0 else sides[finding.side].manifest.paths[finding.row]


def _worst(sides: Sequence[Side], findings: Sequence[Finding]) -> NDArray[np.uint8] | None:
    """A row of crops for every kind that left something to see."""
    by_kind: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.row >= 0:
            by_kind[finding.kind].append(finding)
    rows = []
    with quiet_decoding():
        for kind, members in by_kind.items():
            members.sort(key=lambda item: -item.severity)
            crops = [_crop(sides[f.side], f.row) for f in members[:SHEET_COLUMNS]]
            if shown := [crop for crop in crops if crop is not None]:
                rows.append((f"{kind}: {KINDS[kind].meaning} ({len(members)})", shown))
    return labeled_rows(rows, SHEET_SIDE) if rows else None


def _crop(side: Side, row: int) -> NDArray[np.uint8] | None:
    """The crop, or the whole picture where the box is what is wrong, or None."""
    for box in (side.manifest.boxes[row], np.full(4, np.nan)):
        try:
            return read_crop(side.manifest.locate(row), box, SHEET_SIDE)
        except BadPictureError:
            continue
    return None


def write_cleaned(folder: Path, sides: Sequence[Side], findings: Sequence[Finding]) -> list[Path]:
    """Writes each manifest without its harmful samples to `folder/cleaned`, under its own name and in its format.

    Raises:
        ConfigError: two manifests have one name, or a cleaned one would replace one that was checked.
        DataError: nothing would be left.
        RunError: the folder cannot be written.
    """
    targets = [folder / CLEANED / Path(side.name).name for side in sides]
    checked = {Path(side.name).resolve() for side in sides}
    if len(set(targets)) < len(targets) or checked & {target.resolve() for target in targets}:
        raise ConfigError(f"--drop would write one of {', '.join(map(str, targets))} twice. Give another --output.")
    bad = {(f.side, f.row) for f in findings if is_harmful(f)}
    for number, (side, target) in enumerate(zip(sides, targets, strict=True)):
        kept = [row for row in range(len(side.manifest)) if (number, row) not in bad]
        if not kept:
            raise DataError(f"--drop would leave nothing of {side.name}: all of its {len(side.manifest)} ears are bad.")
        chosen = side.manifest.subset(kept)
        # relative paths start from where the new manifest lies
        paths = [relative_posix(chosen.locate(i).absolute(), target.parent) for i in range(len(chosen))]
        write_columns(target, replace(chosen, paths=paths), [side.facts[row].size for row in kept])
    return targets
