"""The parts of a split that `ear check` compares."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from earcli.curation.findings import Finding
from earcli.curation.scan import PictureFacts, scan
from earcli.data.cache import Progress
from earcli.data.manifest import Manifest, read_manifest


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
    paths: Sequence[Path], root: Path | None, workers: int, progress: Progress | None = None
) -> list[SplitPart]:
    """Reads manifests and opens every image that they name.

    Args:
        paths: The manifests.
        root: Folder of relative image paths; None for each manifest's own folder.
        workers: Number of threads.
        progress: Called while images are opened.

    Raises:
        ManifestError: A manifest cannot be read at all.
    """
    parts = []
    for index, path in enumerate(paths):
        bad_rows: list[str] = []
        manifest = read_manifest(path, root, bad_rows.append)
        files = [manifest.locate(row) for row in range(len(manifest))]
        parts.append(SplitPart(index, path, manifest, scan(files, manifest.boxes, workers, progress), bad_rows))
    return parts
