"""`ear search`: the most similar ears of an index, and how well the index tells people apart."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import typer

from earcli.cli import options
from earcli.errors import ConfigError, DataError
from earcli.tasks.embed import Backend, EmbeddedPart, EmbeddingCheckpoint

if TYPE_CHECKING:
    from rich.console import Console

    from earcli.data.embeddings import Vectors
    from earcli.reporting.sheets import Tile

SHOWN_QUERIES = 20
WORST_PAIRS = 8
RANKS = 20


def search(
    index: Annotated[Path, typer.Option("--index", help="The .npz that ear embed wrote.")],
    queries: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[QUERY...]",
            help="Pictures, folders, manifests. Without any: how well the index tells people apart.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Ears to find for each query.")] = 10,
    metric: Annotated[Literal["cosine", "mahalanobis"], typer.Option("--metric", help="What near means.")] = "cosine",
    checkpoint: EmbeddingCheckpoint = "best",
    backend: Backend = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Contact sheet to write, .png; by default INDEX-search.png, or INDEX-identification.png.",
        ),
    ] = None,
    run_dir: options.RunDir = Path("runs"),
    num_workers: options.NumWorkers = 4,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Find the ears that look most alike; with known people, measure identification."""
    from rich.console import Console

    from earcli.data.embeddings import read_vectors
    from earcli.files import check_writable

    if output is not None and output.suffix != ".png":
        raise ConfigError(f"--output must end in .png, got {output.name}.")
    check_writable((output or index).parent)
    console = Console(stderr=as_json)
    known = read_vectors(index)
    if queries:
        sheet = output or index.with_name(f"{index.stem}-search.png")
        asked = embed_queries(known, queries, index, (checkpoint, run_dir, backend, device), num_workers, console)
        result = find(known, asked, k, metric, sheet, console)
    else:
        sheet = output or index.with_name(f"{index.stem}-identification.png")
        result = identify(known, metric, sheet, console)
    if as_json:
        typer.echo(json.dumps({"index": str(index), "metric": metric, **result, "sheet": str(sheet)}, indent=2))
    console.print(f"contact sheet {sheet}", soft_wrap=True, highlight=False, markup=False)


def embed_queries(
    known: "Vectors", queries: list[Path], index: Path, encoder: tuple[Any, ...], workers: int, console: "Console"
) -> "Vectors":
    """The vectors of the queries, by the teacher that made the index.

    Raises:
        DataError: no query can be read.
        CheckpointError: another teacher made the index.
    """
    from earcli.analysis.retrieval import embed_pictures
    from earcli.data.inputs import collect_pictures
    from earcli.errors import CheckpointError
    from earcli.reporting.console import ProgressBar, Report
    from earcli.tasks.embed import open_embedder
    from earcli.tasks.sources import note_skipped

    checkpoint, run_dir, backend, device = encoder
    pictures = collect_pictures(queries)
    if known.origin.part not in get_args(EmbeddedPart):
        raise DataError(f"{index} holds {known.origin.part!r}, wanted encoder or features. Embed anew.")
    part = cast(EmbeddedPart, known.origin.part)
    embedder = open_embedder(checkpoint, run_dir, backend, part, device)
    if embedder.origin.fingerprint != known.origin.fingerprint:
        raise CheckpointError(
            f"{index} was made by {known.origin.checkpoint} (weights {known.origin.fingerprint}), not by "
            f"{embedder.origin.checkpoint} (weights {embedder.origin.fingerprint}). "
            "Give --checkpoint the first, or embed anew."
        )
    with ProgressBar(console) as progress:
        vectors, skipped = embed_pictures(pictures, embedder, 32, workers, progress)
        note_skipped(skipped, Report(console, progress), f"of {len(pictures)} pictures in all")
    return vectors


def find(known: "Vectors", asked: "Vectors", k: int, metric: Any, sheet: Path, console: "Console") -> dict[str, Any]:
    """Shows the neighbors of every query: a table each, and a contact sheet of the first ones."""
    from earcli.analysis.retrieval import neighbors
    from earcli.reporting.plots import save_image
    from earcli.reporting.sheets import contact_sheet
    from earcli.reporting.tables import neighbor_table
    from earcli.tasks.embed import tiles_of

    results = []
    rows = []
    for number, (near, far) in enumerate(neighbors(known, asked, k, metric)):
        found = [
            {"path": known.paths[row], "distance": float(distance), "subject": known.subjects[row] or None}
            for row, distance in zip(near, far, strict=True)
        ]
        results.append({"query": asked.paths[number], "neighbors": found})
        if number < SHOWN_QUERIES:
            captions = [f"{hit['distance']:.3f} {hit['subject'] or ''}" for hit in found]
            query = tiles_of(asked, [number], [Path(asked.paths[number]).name])
            rows.append(query + tiles_of(known, near.tolist(), captions))
            console.print(neighbor_table(asked.paths[number], found))
    save_image(sheet, contact_sheet(rows, first_apart=True))
    return {"queries": results}


def identify(known: "Vectors", metric: Any, sheet: Path, console: "Console") -> dict[str, Any]:
    """Shows how well the index tells people apart, each picture looked for among all others, and the worst errors."""
    from earcli.analysis.retrieval import MetricSpace
    from earcli.metrics.retrieval import cmc_curve, verification, worst_pairs
    from earcli.reporting.curves import save_cmc
    from earcli.reporting.plots import save_image
    from earcli.reporting.sheets import contact_sheet
    from earcli.reporting.tables import identification_table
    from earcli.tasks.embed import tiles_of

    subjects = known.subject_numbers()
    space = MetricSpace(known.values, metric)
    place = space.place(known.values)
    curve = cmc_curve(place, subjects, RANKS, space.plain)
    judged = verification(place, subjects, space.plain)
    alike, unlike = worst_pairs(place, subjects, WORST_PAIRS, space.plain)
    result: dict[str, Any] = {
        "pictures": int((subjects >= 0).sum()),
        "people": len({int(number) for number in subjects if number >= 0}),
        "rank_1": float(curve[0]),
        "cmc": curve.tolist(),
        **judged._asdict(),
        "most_alike_of_two_people": [[known.paths[a], known.paths[b]] for a, b in alike],
        "least_alike_of_one_person": [[known.paths[a], known.paths[b]] for a, b in unlike],
    }
    console.print(identification_table(result))
    captions = [name or "unknown" for name in known.subjects]
    rows: list[list[Tile]] = []
    titles = {}
    for pairs, title in (
        (alike, "Two people, above and below, that look most alike"),
        (unlike, "One person, above and below, who looks least alike"),
    ):
        titles[len(rows)] = title
        rows += [tiles_of(known, members, [captions[row] for row in members]) for members in zip(*pairs, strict=True)]
    save_image(sheet, contact_sheet(rows, titles=titles))
    save_cmc(sheet.with_name(f"{sheet.stem}-cmc.png"), result["cmc"])
    return result
