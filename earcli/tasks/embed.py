"""Embedding pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from earcli.config.fields import at_least, require
from earcli.reporting.reporter import SILENT, Reporter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from earcli.data.embeddings import Embeddings

SHEET_PICTURES = 40
SHEET_COLUMNS = 8
SHEETS = ("cluster_*.png",)


@dataclass(frozen=True)
class EmbedResult:
    """A file of embeddings.

    Attributes:
        output: The file.
        count: The number of embeddings.
        dimensions: Of each embedding.
        fingerprint: Of the teacher's weights.
        clusters_folder: Holds a contact sheet per cluster; None without clusters.
        skipped: Pictures that could not be read, and why.
    """

    output: Path
    count: int
    dimensions: int
    fingerprint: str
    clusters_folder: Path | None
    skipped: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "path": str(self.output),
            "count": self.count,
            "dimensions": self.dimensions,
            "fingerprint": self.fingerprint,
            "skipped": self.skipped,
        }


def embed(
    sources: Sequence[str | Path],
    output: str | Path,
    *,
    checkpoint: str | Path = "best",
    part: Literal["encoder", "features"] = "encoder",
    backend: Literal["torch", "onnx"] | None = None,
    clusters: int | None = None,
    subject: Literal["column", "folder", "none"] = "column",
    category: str | None = None,
    whole_pictures: bool = False,
    root_dir: str | Path | None = None,
    run_dir: str | Path = "runs",
    batch_size: int = 32,
    num_workers: int = 4,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    seed: int = 0,
    reporter: Reporter = SILENT,
) -> EmbedResult:
    """Compute embeddings of ears, for search, clustering and other programs.

    Args:
        sources: Folders, pictures, manifests. Labels in a folder say where its ears are.
        output: File to write: .npz (for ear search), .csv or .parquet.
        checkpoint: A teacher: a file, a run's folder, an .onnx of ear export, or last.ckpt or best of the newest run.
        part: encoder gives posterior means; features gives the backbone's last map, averaged over positions.
        backend: Runtime of the encoder. By default onnx for an .onnx file, else torch.
        clusters: Cluster the ears by k-means, with a contact sheet per cluster.
        subject: Who is in a picture: the manifest's column, the name of its folder, or unknown (none).
        category: Name of the annotations that are ears, where a file has several; separate several by commas.
        whole_pictures: Ignore the labels in folders: every picture is one ear.
        root_dir: Folder that a manifest's relative paths are resolved against. By default its own.
        run_dir: Folder of all runs.
        batch_size: Pictures per batch.
        num_workers: Threads that decode pictures.
        device: Where the model runs; auto is CUDA if available.
        seed: Seed of the clustering.
        reporter: Receives notes and progress.

    Raises:
        ConfigError: A value is invalid, or the device is not available.
        CheckpointError: There is no such checkpoint, or it cannot be used.
        DataError: A source does not exist, or no picture can be read.
        LabelError: A file that looks like labels cannot be used, or has several categories.
        RunError: The output cannot be written.

    Example:
        >>> import earcli
        >>> earcli.embed(["ears/images"], "ears.npz", checkpoint="best").dimensions  # doctest: +SKIP
        1024
    """
    require(at_least(2), clusters=clusters)
    require(at_least(1), batch_size=batch_size, num_workers=num_workers)
    from earcli.analysis.retrieval import cluster, embed_pictures
    from earcli.data.cache import Skipped, write_skipped
    from earcli.data.embeddings import check_output, write_embeddings
    from earcli.data.inputs import collect_pictures
    from earcli.files import check_replaceable, check_writable
    from earcli.tasks.encoders import open_embedder
    from earcli.tasks.inputs import report_manifest, report_skipped

    output = Path(output)
    check_output(output)
    check_writable(output.parent)
    folder = None if clusters is None else output.with_name(f"{output.stem}-clusters")
    if folder is not None:
        check_replaceable(folder, SHEETS)
    root = None if root_dir is None else Path(root_dir)
    unusable: list[Skipped] = []
    manifest = collect_pictures([Path(s) for s in sources], root, unusable.append, category, whole_pictures)
    report_manifest(manifest, "boxes", reporter)
    manifest = manifest.with_subjects(subject)
    embedder = open_embedder(str(checkpoint), run_dir=Path(run_dir), backend=backend, part=part, device=device)
    reporter.note(f"encoder {embedder.info.checkpoint}")
    embeddings, skipped = embed_pictures(manifest, embedder, batch_size, num_workers, reporter.progress)
    skipped = [*unusable, *skipped]
    report_skipped(skipped, reporter, f"of {len(embeddings) + len(skipped)} pictures")
    if skipped:
        listed = output.with_name(f"{output.stem}-skipped.csv")
        write_skipped(listed, skipped)
        reporter.note(f"pictures that could not be read: {listed}")
    if clusters is not None and folder is not None:
        labels, distances = cluster(embeddings.values, clusters, seed)
        embeddings = embeddings.with_clusters(labels)
        _write_sheets(embeddings, labels, distances, folder)
    write_embeddings(output, embeddings)
    reasons = {item.path: item.reason for item in skipped}
    return EmbedResult(output, len(embeddings), embeddings.values.shape[1], embedder.info.fingerprint, folder, reasons)


def _write_sheets(
    embeddings: "Embeddings", labels: "NDArray[np.int64]", distances: "NDArray[np.float64]", folder: Path
) -> None:
    """Replaces `folder` by a contact sheet per cluster, the pictures nearest to its center first."""
    import numpy as np

    from earcli.files import atomic_folder
    from earcli.reporting.plots import save_image
    from earcli.reporting.sheets import contact_sheet
    from earcli.tasks.encoders import make_tiles

    with atomic_folder(folder, replaces=SHEETS) as temporary:
        for number in range(int(labels.max()) + 1):
            members = np.flatnonzero(labels == number)
            shown = members[np.argsort(distances[members], kind="stable")][:SHEET_PICTURES]
            tiles = make_tiles(embeddings, shown.tolist(), [Path(embeddings.paths[row]).name for row in shown])
            rows = [tiles[start : start + SHEET_COLUMNS] for start in range(0, len(tiles), SHEET_COLUMNS)]
            save_image(temporary / f"cluster_{number:02d}.png", contact_sheet(rows))
