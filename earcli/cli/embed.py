"""`ear embed`: pictures to vectors."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earcli.cli import options
from earcli.tasks.embed import Backend, EmbeddedPart, EmbeddingCheckpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from earcli.data.embeddings import Vectors

SHEET_NAMES = ("cluster_*.png",)
SHEET_PICTURES = 40
SHEET_COLUMNS = 8


def embed(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="Folders, pictures, manifests.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .npz (for ear search), .csv or .parquet.")
    ],
    checkpoint: EmbeddingCheckpoint = "best",
    part: Annotated[
        EmbeddedPart,
        typer.Option(
            "--part", help="encoder: posterior means; features: the trunk's last map, its mean over positions."
        ),
    ] = "encoder",
    backend: Backend = None,
    clusters: Annotated[
        int | None, typer.Option("--clusters", min=2, help="Group the ears by k-means; a contact sheet per group.")
    ] = None,
    subject: options.Subject = "column",
    root_dir: options.SourceRootDir = None,
    run_dir: options.RunDir = Path("runs"),
    batch_size: options.BatchSize = 32,
    num_workers: options.NumWorkers = 4,
    device: options.Device = "auto",
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Turn ears into vectors, for searching, grouping, and other programs."""
    from rich.console import Console

    from earcli.analysis.retrieval import cluster, embed_pictures
    from earcli.data.cache import write_skipped
    from earcli.data.embeddings import check_output, write_vectors
    from earcli.data.inputs import collect_pictures
    from earcli.files import check_replaceable, check_writable
    from earcli.reporting.console import ProgressBar, Report
    from earcli.tasks.embed import open_embedder
    from earcli.tasks.sources import note_skipped

    check_output(output)
    check_writable(output.parent)
    sheets = None if clusters is None else output.with_name(f"{output.stem}-clusters")
    if sheets is not None:
        check_replaceable(sheets, SHEET_NAMES)
    console = Console(stderr=as_json)
    manifest = collect_pictures(sources, root_dir).with_subjects(subject)
    embedder = open_embedder(checkpoint, run_dir, backend, part, device)
    with ProgressBar(console) as progress:
        report = Report(console, progress)
        report.note(f"encoder {embedder.origin.checkpoint}")
        vectors, skipped = embed_pictures(manifest, embedder, batch_size, num_workers, progress)
        note_skipped(skipped, report, f"of {len(manifest)} pictures in all")
        if skipped:
            listed = output.with_name(f"{output.stem}-skipped.csv")
            write_skipped(listed, skipped)
            report.note(f"pictures that could not be read: {listed}")
        if clusters is not None and sheets is not None:
            labels, distances = cluster(vectors.values, clusters, seed)
            vectors = vectors.with_clusters(labels)
            write_sheets(vectors, distances, sheets)
        write_vectors(output, vectors)
        report.note(f"{len(vectors)} ears, {vectors.values.shape[1]} numbers each: {output}")
        if sheets is not None:
            report.note(f"a contact sheet per group, the most typical first: {sheets}")
    if as_json:
        result = {
            "path": str(output),
            "count": len(vectors),
            "dimensions": vectors.values.shape[1],
            "fingerprint": vectors.origin.fingerprint,
            "skipped": {item.path: item.reason for item in skipped},
        }
        typer.echo(json.dumps(result, indent=2))


def write_sheets(vectors: "Vectors", distances: "NDArray[np.float64]", folder: Path) -> None:
    """A contact sheet per group, what lies nearest to its center first; sheets of an earlier grouping go.

    Raises:
        RunError: they cannot be written.
    """
    import numpy as np

    from earcli.files import atomic_folder
    from earcli.reporting.plots import save_image
    from earcli.reporting.sheets import contact_sheet
    from earcli.tasks.embed import tiles_of

    assert vectors.clusters is not None
    with atomic_folder(folder, SHEET_NAMES) as temporary:
        for number in range(int(vectors.clusters.max()) + 1):
            members = np.flatnonzero(vectors.clusters == number)
            shown = members[np.argsort(distances[members], kind="stable")][:SHEET_PICTURES]
            tiles = tiles_of(vectors, shown.tolist(), [Path(vectors.paths[row]).name for row in shown])
            rows = [tiles[start : start + SHEET_COLUMNS] for start in range(0, len(tiles), SHEET_COLUMNS)]
            save_image(temporary / f"cluster_{number:02d}.png", contact_sheet(rows))
