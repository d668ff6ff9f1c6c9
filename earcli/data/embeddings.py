"""Files of embeddings: `.npz` to search, `.csv` and `.parquet` for other programs. None runs code."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earcli.errors import ConfigError, DataError
from earcli.files import atomic_write, write_csv
from earcli.untrusted.npz import read_arrays

ENCODER_KEYS = ("fingerprint", "checkpoint", "part", "precision")


@dataclass(frozen=True)
class EncoderInfo:
    """The model that computed an embedding.

    Attributes:
        fingerprint: of the teacher's weights; see `earcli.checkpoints.weights.fingerprint`.
        checkpoint: its file, for display.
        part: encoder (posterior means) or features.
        precision: fp32, fp16, int8.
        image_size: side of the crops in pixels.
    """

    fingerprint: str
    checkpoint: str
    part: str
    precision: str
    image_size: int


@dataclass(frozen=True)
class Embeddings:
    """Embeddings, one picture per row.

    Attributes:
        values: (N, D) fp32.
        paths: absolute.
        boxes: (N, 4) of x, y, width, height in pixels; NaN for the whole picture.
        subjects: names, "" where unknown.
        clusters: (N,) cluster numbers from 0, or None.
    """

    values: NDArray[np.float32]
    paths: list[str]
    boxes: NDArray[np.float64]
    subjects: list[str]
    clusters: NDArray[np.int64] | None
    encoder: EncoderInfo

    def __len__(self) -> int:
        return len(self.paths)

    def with_clusters(self, clusters: NDArray[np.int64]) -> "Embeddings":
        """A copy with cluster numbers (N,)."""
        return replace(self, clusters=clusters)

    def subject_numbers(self) -> NDArray[np.int64]:
        """(N,) one number per subject; -1 where the subject is unknown."""
        names = np.array(self.subjects)
        return np.where(names == "", -1, np.unique(names, return_inverse=True)[1])

    def rows(self) -> tuple[list[str], list[list[Any]]]:
        """The column names and the rows of everything beside the embeddings."""
        columns: dict[str, list[Any]] = {"path": self.paths}
        for number, name in enumerate(("x", "y", "width", "height")):
            if not np.isnan(self.boxes).all():
                columns[name] = [None if np.isnan(value) else float(value) for value in self.boxes[:, number]]
        if any(self.subjects):
            columns["subject"] = self.subjects
        if self.clusters is not None:
            columns["cluster"] = self.clusters.tolist()
        return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def check_output(path: Path) -> None:
    """Checks that `write_embeddings` can write a path's format.

    Raises:
        ConfigError: the suffix is unknown, or it is parquet and pyarrow is missing.
    """
    if path.suffix not in (".npz", ".csv", ".parquet"):
        raise ConfigError(f"`output` must end in .npz, .csv or .parquet, got {path.name}.")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ConfigError(
                "Writing .parquet needs pyarrow: pip install 'earcli[parquet]', or give .npz or .csv."
            ) from error


def write_embeddings(path: Path, embeddings: Embeddings) -> None:
    """Writes `.npz`, `.csv` or `.parquet`, by the suffix.

    Raises:
        RunError: it cannot be written.
    """
    if path.suffix == ".csv":
        columns, rows = embeddings.rows()
        names = [*columns, *(f"e{number}" for number in range(embeddings.values.shape[1]))]
        pairs = zip(rows, embeddings.values, strict=True)
        # nine digits round-trip an fp32
        write_csv(path, names, ([*row, *(f"{value:.9g}" for value in vector)] for row, vector in pairs))
        return
    with atomic_write(path) as temporary:
        (_write_npz if path.suffix == ".npz" else _write_parquet)(temporary, embeddings)


def _write_npz(path: Path, embeddings: Embeddings) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "embeddings": embeddings.values,
        "paths": np.array(embeddings.paths),
        "boxes": embeddings.boxes,
        "subjects": np.array(embeddings.subjects),
        "image_size": np.array(embeddings.encoder.image_size),
        **{name: np.array(getattr(embeddings.encoder, name)) for name in ENCODER_KEYS},
    }
    if embeddings.clusters is not None:
        arrays["clusters"] = embeddings.clusters
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _write_parquet(path: Path, embeddings: Embeddings) -> None:
    import pyarrow
    import pyarrow.parquet

    columns, rows = embeddings.rows()
    data: dict[str, Any] = {name: [_utf8(row[number]) for row in rows] for number, name in enumerate(columns)}
    flat = pyarrow.array(embeddings.values.reshape(-1))
    data["embedding"] = pyarrow.FixedSizeListArray.from_arrays(flat, embeddings.values.shape[1])
    metadata = {
        **{name: str(getattr(embeddings.encoder, name)) for name in ENCODER_KEYS},
        "image_size": embeddings.encoder.image_size,
    }
    table = pyarrow.table(data).replace_schema_metadata(
        {f"ear.{name}": _utf8(str(value)) for name, value in metadata.items()}
    )
    with path.open("wb") as file:  # pyarrow opens no file whose name is not UTF-8
        pyarrow.parquet.write_table(table, file)


def _utf8(cell: Any) -> Any:
    """Escapes undecodable bytes of a file name: Parquet stores UTF-8 only."""
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell


def read_embeddings(path: Path) -> Embeddings:
    """Reads a `.npz` that `ear embed` wrote.

    Raises:
        DataError: it is missing, damaged, or something else; a pickle in it is never loaded.
    """
    try:
        return _to_embeddings(read_arrays(path))
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist. Make it with ear embed.") from error
    except Exception as error:  # a damaged archive can raise anything
        reason = " ".join(f"{error}".split())[:200] or type(error).__name__
        raise DataError(
            f"{path} is not a .npz that ear embed wrote, or is damaged ({reason}). Run ear embed again."
        ) from error


def _to_embeddings(arrays: dict[str, NDArray[Any]]) -> Embeddings:
    encoder = EncoderInfo(**{name: str(arrays[name]) for name in ENCODER_KEYS}, image_size=int(arrays["image_size"]))
    values, boxes, clusters = arrays["embeddings"], arrays["boxes"], arrays.get("clusters")
    paths, subjects = arrays["paths"].tolist(), arrays["subjects"].tolist()
    if values.ndim != 2 or values.dtype != np.float32 or not np.isfinite(values).all():
        raise ValueError("embeddings are not finite fp32 of shape (N, D)")
    count = len(values)
    if boxes.shape != (count, 4) or len(paths) != count or len(subjects) != count:
        raise ValueError("its columns differ in length")
    if clusters is not None and (clusters.shape != (count,) or clusters.dtype.kind != "i"):
        raise ValueError("its columns differ in length")
    if not all(isinstance(name, str) for name in (*paths, *subjects)):
        raise ValueError("paths and subjects are not text")
    return Embeddings(values, paths, boxes.astype(np.float64), subjects, clusters, encoder)
