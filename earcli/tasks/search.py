"""Searching an index of embeddings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from earcli.config.fields import at_least, require
from earcli.errors import CheckpointError, ConfigError, DataError
from earcli.reporting.reporter import SILENT, Reporter

if TYPE_CHECKING:
    from earcli.data.embeddings import Embeddings
    from earcli.reporting.sheets import Tile

SHEET_QUERIES = 20
WORST_PAIRS = 8
RANKS = 20
BATCH_SIZE = 32
PARTS = ("encoder", "features")


@dataclass(frozen=True)
class Identification:
    """How well an index tells people apart: each picture is searched among all others.

    Attributes:
        pictures: Of known people.
        people: Known people.
        rank_1: The fraction of pictures whose nearest neighbor shows the same person.
        cmc: The cumulative match characteristic from rank 1 on.
        auc, eer: Area under the ROC curve, and equal error rate, of verification over pairs.
        genuine, impostor: Pairs of one person, and of two.
        sampled: Whether the pairs are a random sample.
        most_alike_of_two_people, least_alike_of_one_person: The worst errors, as pairs of paths.
    """

    pictures: int
    people: int
    rank_1: float
    cmc: list[float]
    auc: float
    eer: float
    genuine: int
    impostor: int
    sampled: bool
    most_alike_of_two_people: list[list[str]]
    least_alike_of_one_person: list[list[str]]


@dataclass(frozen=True)
class SearchResult:
    """The neighbors of queries, or without queries an identification.

    Attributes:
        index: The index that was searched.
        metric: The distance.
        sheet: The contact sheet.
        queries: For each query its path (`query`) and its `neighbors`: `path`, `distance`, and `subject` or None.
        identification: Without queries.
    """

    index: Path
    metric: str
    sheet: Path
    queries: list[dict[str, Any]]
    identification: Identification | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        content = {"queries": self.queries} if self.identification is None else asdict(self.identification)
        return {"index": str(self.index), "metric": self.metric, **content, "sheet": str(self.sheet)}


def search(
    index: str | Path,
    queries: Sequence[str | Path] = (),
    *,
    k: int = 10,
    metric: Literal["cosine", "mahalanobis"] = "cosine",
    checkpoint: str | Path = "best",
    backend: Literal["torch", "onnx"] | None = None,
    output: str | Path | None = None,
    run_dir: str | Path = "runs",
    num_workers: int = 4,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    reporter: Reporter = SILENT,
) -> SearchResult:
    """Find the most similar ears of an index; without queries, measure how well the index tells people apart.

    Args:
        index: The .npz that ear embed wrote.
        queries: Pictures, folders, manifests.
        k: Neighbors per query.
        metric: Distance between embeddings.
        checkpoint: The teacher of the index: a file, a run's folder, an .onnx of ear export, or last.ckpt or best of
            the newest run.
        backend: Runtime of the encoder. By default onnx for an .onnx file, else torch.
        output: Contact sheet to write, .png. By default INDEX-search.png, or INDEX-identification.png.
        run_dir: Folder of all runs.
        num_workers: Threads that decode pictures.
        device: Where the model runs; auto is CUDA if available.
        reporter: Receives notes and progress.

    Raises:
        ConfigError: A value is invalid, or the device is not available.
        CheckpointError: The checkpoint is missing, or another teacher made the index.
        DataError: The index or a query cannot be read, or no two people are known.
        RunError: The output cannot be written.

    Example:
        >>> import earcli
        >>> result = earcli.search("ears.npz", ["query.jpg"], k=3)  # doctest: +SKIP
        >>> result.queries[0]["neighbors"][0]["distance"]  # doctest: +SKIP
    """
    require(at_least(1), k=k, num_workers=num_workers)
    from earcli.data.embeddings import read_embeddings
    from earcli.files import check_writable

    index = Path(index)
    kind = "search" if queries else "identification"
    sheet = index.with_name(f"{index.stem}-{kind}.png") if output is None else Path(output)
    if sheet.suffix != ".png":
        raise ConfigError(f"`output` must end in .png, got {sheet.name}.")
    check_writable(sheet.parent)
    known = read_embeddings(index)
    if not queries:
        return SearchResult(index, metric, sheet, [], _identify(known, metric, sheet))
    paths = [Path(query) for query in queries]
    encoder = {"run_dir": Path(run_dir), "backend": backend, "device": device}
    asked = _embed_queries(known, index, paths, str(checkpoint), encoder, num_workers, reporter)
    return SearchResult(index, metric, sheet, _search(known, asked, k, metric, sheet), None)


def _embed_queries(
    known: "Embeddings",
    index: Path,
    queries: Sequence[Path],
    checkpoint: str,
    encoder: dict[str, Any],
    num_workers: int,
    reporter: Reporter,
) -> "Embeddings":
    """The embeddings of the queries by the teacher that made the index; `encoder` as for `open_embedder`."""
    from earcli.analysis.retrieval import embed_pictures
    from earcli.data.cache import Skipped
    from earcli.data.inputs import collect_pictures
    from earcli.tasks.encoders import open_embedder
    from earcli.tasks.inputs import report_manifest, report_skipped

    skipped: list[Skipped] = []
    pictures = collect_pictures(queries, None, skipped.append, whole_pictures=True)
    report_manifest(pictures, "boxes", reporter)
    made_by = known.encoder
    if made_by.part not in PARTS:
        raise DataError(f"{index} holds {made_by.part!r}, expected encoder or features. Embed again.")
    part = cast(Literal["encoder", "features"], made_by.part)
    embedder = open_embedder(checkpoint, part=part, **encoder)
    if embedder.info.fingerprint != made_by.fingerprint:
        raise CheckpointError(
            f"{index} was made by {made_by.checkpoint} (weights {made_by.fingerprint}), not by "
            f"{embedder.info.checkpoint} (weights {embedder.info.fingerprint}). "
            "Give the former as `checkpoint`, or embed again."
        )
    embeddings, unreadable = embed_pictures(pictures, embedder, BATCH_SIZE, num_workers, reporter.progress)
    skipped += unreadable
    report_skipped(skipped, reporter, f"of {len(embeddings) + len(skipped)} pictures")
    return embeddings


def _search(
    known: "Embeddings", asked: "Embeddings", k: int, metric: Literal["cosine", "mahalanobis"], sheet: Path
) -> list[dict[str, Any]]:
    """The neighbors of every query; the first queries are drawn on a contact sheet."""
    from earcli.analysis.retrieval import find_neighbors
    from earcli.reporting.plots import save_image
    from earcli.reporting.sheets import contact_sheet
    from earcli.tasks.encoders import make_tiles

    results, rows = [], []
    for number, nearest in enumerate(find_neighbors(known, asked, k, metric)):
        neighbors = [
            {"path": known.paths[row], "distance": float(distance), "subject": known.subjects[row] or None}
            for row, distance in zip(nearest.rows, nearest.distances, strict=True)
        ]
        results.append({"query": asked.paths[number], "neighbors": neighbors})
        if number < SHEET_QUERIES:
            captions = [f"{hit['distance']:.3f} {hit['subject'] or ''}" for hit in neighbors]
            query = make_tiles(asked, [number], [Path(asked.paths[number]).name])
            rows.append(query + make_tiles(known, nearest.rows.tolist(), captions))
    save_image(sheet, contact_sheet(rows, first_apart=True))
    return results


def _identify(known: "Embeddings", metric: Literal["cosine", "mahalanobis"], sheet: Path) -> Identification:
    """Measures identification and verification; draws the worst errors and the CMC curve."""
    from earcli.analysis.retrieval import MetricSpace
    from earcli.metrics.retrieval import cmc_curve, verification, worst_pairs
    from earcli.reporting.curves import save_cmc

    subjects = known.subject_numbers()
    space = MetricSpace(known.values, metric)
    values = space.transform(known.values)
    curve = cmc_curve(values, subjects, RANKS, space.plain_metric)
    pairs = verification(values, subjects, space.plain_metric)
    alike, unlike = worst_pairs(values, subjects, WORST_PAIRS, space.plain_metric)
    _draw_pairs(known, alike, unlike, sheet)
    save_cmc(sheet.with_name(f"{sheet.stem}-cmc.png"), curve.tolist())
    return Identification(
        pictures=int((subjects >= 0).sum()),
        people=len({int(number) for number in subjects if number >= 0}),
        rank_1=float(curve[0]),
        cmc=curve.tolist(),
        **pairs._asdict(),
        most_alike_of_two_people=[[known.paths[a], known.paths[b]] for a, b in alike],
        least_alike_of_one_person=[[known.paths[a], known.paths[b]] for a, b in unlike],
    )


def _draw_pairs(known: "Embeddings", alike: list[tuple[int, int]], unlike: list[tuple[int, int]], sheet: Path) -> None:
    from earcli.reporting.plots import save_image
    from earcli.reporting.sheets import contact_sheet
    from earcli.tasks.encoders import make_tiles

    captions = [name or "unknown" for name in known.subjects]
    rows: list[list[Tile]] = []
    titles = {}
    for pairs, title in (
        (alike, "Two people, above and below, that look most alike"),
        (unlike, "One person, above and below, who looks least alike"),
    ):
        titles[len(rows)] = title
        rows += [make_tiles(known, members, [captions[row] for row in members]) for members in zip(*pairs, strict=True)]
    save_image(sheet, contact_sheet(rows, titles=titles))
