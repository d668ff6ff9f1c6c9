"""All checks of `ear check` together."""

from collections.abc import Sequence

from earcli.curation.findings import KINDS, Finding
from earcli.curation.keypoint_shapes import find_points_outside, find_unusual_shapes
from earcli.curation.sample_checks import find_sample_faults
from earcli.curation.set_checks import find_set_faults
from earcli.curation.side_checks import find_side_faults
from earcli.curation.split_part import SplitPart


def find_faults(parts: Sequence[SplitPart]) -> list[Finding]:
    """The faults of all samples, by kind in the order of `KINDS`, then by part and row."""
    findings = [Finding("row", part.index, -1, "", reason) for part in parts for reason in part.bad_rows]
    for part in parts:
        changes = enumerate(part.manifest.changes or ())
        findings += [part.finding("scaled", row, f"the label was {change}") for row, change in changes if change]
        findings += [*find_sample_faults(part), *find_points_outside(part)]
    findings += [*find_unusual_shapes(parts), *find_set_faults(parts), *find_side_faults(parts)]
    order = {kind: index for index, kind in enumerate(KINDS)}
    return sorted(findings, key=lambda finding: (order[finding.kind], finding.part, finding.row))
