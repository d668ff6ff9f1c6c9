"""The parts of a split that `ear check` compares."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earcli.curation.findings import Finding
from earcli.curation.scan import PictureFacts, scan
from earcli.data.cache import Progress, Skipped
from earcli.data.inputs import read_source
from earcli.data.manifest import Manifest
from earcli.data.samples import NO_LABEL


@dataclass(frozen=True)
class SplitPart:
    """One manifest of a split, such as the training set.

    Attributes:
        index: Position in the list of manifests.
        path: The manifest file.
        manifest: Its readable rows.
        facts: What the scan measured of each row.
        bad_rows: A message for each row that cannot be read.
    """

    index: int
    path: Path
    manifest: Manifest
    facts: list[PictureFacts]
    bad_rows: list[str]

    def finding(self, kind: str, row: int, detail: str, severity: float = 0.0) -> Finding:
        """A fault of the sample in a row of this part."""
        return Finding(kind, self.index, row, self.manifest.paths[row], detail, severity)


def read_parts(
    paths: Sequence[Path], root: Path | None, category: str | None, workers: int, progress: Progress | None = None
) -> list[SplitPart]:
    """Reads manifests and opens every image that they name.

    Args:
        paths: The manifests, or folders.
        root: Folder of relative image paths; None for each manifest's own folder.
        category: See `collect_samples`.
        workers: Number of threads.
        progress: Called while images are opened.

    Raises:
        ManifestError: A manifest cannot be read at all.
        DataError: A folder has no image, or labels that cannot be used.
    """
    parts = []
    for index, path in enumerate(paths):
        skipped: list[Skipped] = []
        manifest = read_source(path, root, skipped.append, category)
        bad_rows = [
            item.reason if item.path == str(path) else f"{item.path}: {item.reason}"
            for item in skipped
            if not item.reason.startswith(NO_LABEL)
        ]
        files = [manifest.locate(row) for row in range(len(manifest))]
        parts.append(SplitPart(index, path, manifest, scan(files, manifest.boxes, workers, progress), bad_rows))
    return parts
