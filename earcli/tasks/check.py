"""Checking manifests."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from earcli.config.fields import at_least, require
from earcli.curation.findings import KINDS, Finding, count_kind, summarize
from earcli.reporting.reporter import SILENT, Reporter


@dataclass(frozen=True)
class CheckResult:
    """The faults of the parts of a split.

    Attributes:
        output: The folder of the report.
        manifests: The manifests that were checked.
        ears_per_manifest: The number of ears in each.
        findings: The faults, in the order of `earcli.curation.findings.KINDS`.
        files: The names of the files in the report.
        cleaned: The manifests without harmful samples, if they were asked for.
    """

    output: Path
    manifests: list[Path]
    ears_per_manifest: list[int]
    findings: list[Finding]
    files: list[str]
    cleaned: list[Path]

    @property
    def ears(self) -> int:
        """The number of ears in all manifests."""
        return sum(self.ears_per_manifest)

    @property
    def harmful(self) -> int:
        """The number of findings that harm training."""
        return sum(finding.harmful for finding in self.findings)

    def counts(self) -> dict[str, list[int]]:
        """For each kind that was found, its number in each manifest."""
        counts = {kind: count_kind(self.findings, kind, len(self.manifests)) for kind in KINDS}
        return {kind: numbers for kind, numbers in counts.items() if any(numbers)}

    def to_dict(self) -> dict[str, Any]:
        """What `check.json` holds, and where it is."""
        content = summarize(self.manifests, self.ears_per_manifest, self.findings)
        paths = {"output": str(self.output), "cleaned": [str(path) for path in self.cleaned]}
        return {**paths, **content, "findings": [asdict(finding) for finding in self.findings]}


def check(
    manifests: Sequence[str | Path],
    *,
    root_dir: str | Path | None = None,
    output: str | Path = "data/check",
    drop: bool = False,
    num_workers: int = 4,
    reporter: Reporter = SILENT,
) -> CheckResult:
    """Find unreadable files, wrong boxes, duplicates, and leaks between the parts of a split.

    Args:
        manifests: The manifests of a split: .npy, .csv or COCO .json.
        root_dir: Folder that relative paths are resolved against. By default the manifest's.
        output: Folder for the report.
        drop: Write manifests without the harmful samples to cleaned/ in `output`.
        num_workers: Threads that open pictures.
        reporter: Receives progress.

    Raises:
        ConfigError: A cleaned manifest would replace another.
        ManifestError: A manifest cannot be read at all.
        DataError: A cleaned manifest would be empty.
        RunError: The report cannot be written.

    Example:
        >>> import tempfile, earcli
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ears = earcli.synth(folder + "/ears", count=5)
        ...     earcli.check([ears.train_manifest, ears.val_manifest], output=folder + "/check").harmful
        0
    """
    require(at_least(1), num_workers=num_workers)
    from earcli.curation.check_report import find_faults, write_check, write_cleaned
    from earcli.curation.split_part import read_parts
    from earcli.files import check_writable

    output = Path(output)
    check_writable(output)
    paths = [Path(manifest) for manifest in manifests]
    parts = read_parts(paths, None if root_dir is None else Path(root_dir), num_workers, reporter.progress)
    findings = find_faults(parts)
    files = write_check(output, parts, findings)
    cleaned = write_cleaned(output, parts, findings) if drop else []
    return CheckResult(output, paths, [len(part.manifest) for part in parts], findings, files, cleaned)
