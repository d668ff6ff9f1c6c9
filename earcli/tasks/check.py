"""Checking a dataset for faults."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from earcli.config.fields import at_least, require
from earcli.curation.findings import Finding, summarize
from earcli.errors import ConfigError
from earcli.reporting.reporter import SILENT, Reporter


@dataclass(frozen=True)
class CheckResult:
    """The faults of a dataset.

    Attributes:
        output: Folder of the report.
        manifests: The manifests that were checked.
        ears: The number of ears in each.
        findings: The faults, by kind.
        files: The files of the report: `check.json`, `bad_files.csv` and, if a finding has an image, `worst.png`.
        cleaned: The manifests without the harmful samples; empty unless asked for.
    """

    output: Path
    manifests: list[Path]
    ears: list[int]
    findings: list[Finding]
    files: list[Path]
    cleaned: list[Path]

    @property
    def harmful(self) -> int:
        """The number of faults that harm training."""
        return sum(finding.harmful for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The content of `check.json`."""
        return summarize(self.manifests, self.ears, self.findings)


def check(
    manifests: str | Path | Sequence[str | Path],
    *,
    category: str | None = None,
    root_dir: str | Path | None = None,
    output: str | Path = "data/check",
    drop: bool = False,
    num_workers: int = 4,
    reporter: Reporter = SILENT,
) -> CheckResult:
    """Check a dataset for unreadable files, wrong boxes, duplicates, and leaks between the parts of a split.

    Args:
        manifests: The parts of a split: annotation files of any format, or folders of images and annotations.
        category: Name of the annotations that are ears, where a file has several; separate several by commas.
        root_dir: Folder that relative paths start from. By default that of each manifest.
        output: Folder of the report.
        drop: Write the manifests without the harmful samples to the folder `cleaned` in `output`.
        num_workers: Threads that open images.
        reporter: Receives progress.

    Raises:
        ConfigError: A parameter is out of range, or a cleaned manifest would replace another manifest.
        ManifestError: A manifest cannot be read at all.
        LabelError: A folder has a file of labels that cannot be used, or several categories.
        DataError: Nothing would be left of a manifest without the harmful samples.
        RunError: The folder of the report cannot be written.

    Example:
        >>> import tempfile, earcli
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     ears = earcli.synth(folder + "/ears", count=5)
        ...     result = earcli.check([ears.train_manifest, ears.val_manifest], output=folder + "/report")
        ...     result.ears, result.harmful, [file.name for file in result.files]
        ([4, 1], 0, ['check.json', 'bad_files.csv'])
    """
    require(at_least(1), num_workers=num_workers)
    root_dir, output = None if root_dir is None else Path(root_dir), Path(output)
    if root_dir is not None and not root_dir.is_dir():
        raise ConfigError(f"`root_dir` {root_dir} is not a folder.")
    paths = [Path(manifest) for manifest in ([manifests] if isinstance(manifests, str | Path) else manifests)]
    cleaned = [output / "cleaned" / _cleaned_name(path) for path in paths] if drop else []
    _check_targets(cleaned, paths)
    from earcli.curation.check_report import write_cleaned, write_report
    from earcli.curation.checks import find_faults
    from earcli.curation.split_part import read_parts
    from earcli.files import check_writable

    check_writable(output)
    parts = read_parts(paths, root_dir, category, num_workers, reporter.progress)
    findings = find_faults(parts)
    ears = [len(part.manifest) for part in parts]
    files = write_report(output, parts, findings, summarize(paths, ears, findings))
    if drop:
        write_cleaned(parts, findings, cleaned)
    return CheckResult(output, paths, ears, findings, files, cleaned)


def _cleaned_name(path: Path) -> str:
    """The name of the cleaned manifest, in the format of the checked one if that can hold a whole set."""
    return path.name if path.suffix.lower() in (".npy", ".csv", ".json") else f"{path.resolve().name}.coco.json"


def _check_targets(cleaned: Sequence[Path], manifests: Sequence[Path]) -> None:
    checked = {path.resolve() for path in manifests}
    for path in cleaned:
        if cleaned.count(path) > 1:
            raise ConfigError(f"`drop` would write {path} twice: the manifests must have different names.")
        if path.resolve() in checked:
            raise ConfigError(f"`drop` would write over {path}, which is checked. Use another `output`.")
