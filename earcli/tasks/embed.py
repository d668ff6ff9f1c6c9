"""What `ear embed` and `ear search` share: the encoder behind --checkpoint, with torch or without, and its pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from earcli.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from earcli.analysis.retrieval import Embedder
    from earcli.data.embeddings import Vectors
    from earcli.reporting.sheets import Tile

POOLED = "stride32"
EmbeddedPart = Literal["encoder", "features"]
Backend = Annotated[
    Literal["torch", "onnx"] | None,
    typer.Option("--backend", help="What runs the encoder; by default onnx for an .onnx file, else torch."),
]
EmbeddingCheckpoint = Annotated[
    str,
    typer.Option(
        "--checkpoint",
        help="A teacher: a file, an .onnx that ear export wrote, or last.ckpt or best of the newest run.",
    ),
]


def open_embedder(
    checkpoint: str, run_dir: Path, backend: Literal["torch", "onnx"] | None, part: EmbeddedPart, device: str
) -> "Embedder":
    """The encoder that the options name. `features` are the means over positions of the trunk's last map.

    Raises:
        CheckpointError: there is none, it cannot be used, or the run has no ONNX file of it.
        ConfigError: the device is not there, or torch is asked to run an ONNX file.
    """
    if checkpoint.endswith(".onnx"):
        if backend == "torch":
            raise ConfigError(f"--backend torch cannot run {checkpoint}. Give --backend onnx, or a checkpoint.")
        return _onnx_embedder(Path(checkpoint), part)
    if backend == "onnx":
        return _onnx_embedder(_exported(checkpoint, run_dir, part), part)
    return _torch_embedder(checkpoint, run_dir, part, device)


def _exported(checkpoint: str, run_dir: Path, part: str) -> Path:
    from earcli.checkpoints.runs import RunFolder, find_checkpoint
    from earcli.exporting.runtime import OnnxModel

    path = find_checkpoint(checkpoint, run_dir)
    file = RunFolder.of(path).path / "export" / f"{part}.onnx"
    again = f"ear export --part {part} --checkpoint {path}"
    if not file.is_file():
        raise CheckpointError(f"{file} does not exist. Make it: {again}.")
    made_from = OnnxModel(file).facts.checkpoint
    if made_from != path.name:
        raise CheckpointError(f"{file} was made from {made_from}, not from {path.name}. Make it anew: {again}.")
    return file


def _onnx_embedder(path: Path, part: str) -> "Embedder":
    from earcli.analysis.retrieval import Embedder
    from earcli.data.embeddings import Origin
    from earcli.exporting.runtime import Floats, OnnxModel, to_images

    model = OnnxModel(path)
    facts = model.facts
    wanted = "mu" if part == "encoder" else POOLED
    if wanted not in model.outputs or model.input != "images":
        raise CheckpointError(f"{path} holds the {facts.part}, which gives no {part}. ear export --part {part}.")

    def run(pixels: "NDArray[np.uint8]") -> Floats:
        found = model(to_images(pixels))[wanted]
        return found if part == "encoder" else found.mean(axis=(2, 3))

    return Embedder(run, Origin(facts.fingerprint, str(path), part, facts.precision, facts.image_size))


def _torch_embedder(checkpoint: str, run_dir: Path, part: str, device: str) -> "Embedder":
    from earcli.analysis.encoding import device_of, map_batches, posterior_means
    from earcli.analysis.retrieval import Embedder, Floats
    from earcli.checkpoints.weights import fingerprint
    from earcli.data.embeddings import Origin
    from earcli.tasks.sources import load_teacher

    teacher = load_teacher(checkpoint, run_dir, device)
    model = teacher.model

    def run(pixels: "NDArray[np.uint8]") -> Floats:
        if part == "encoder":
            return posterior_means(model, pixels, len(pixels))
        return map_batches(
            lambda images: [model.encoder.extract_features(images)[POOLED].mean((2, 3))],
            pixels,
            batch_size=len(pixels),
            device=device_of(model),
        )[0]

    return Embedder(run, Origin(fingerprint(model), str(teacher.path), part, "fp32", teacher.config.image_size))


def tiles_of(vectors: "Vectors", rows: Sequence[int], captions: Sequence[str]) -> "list[Tile]":
    """Pictures of a contact sheet; gray where the file is not there any more."""
    from earcli.data.uncached import crop_or_gray
    from earcli.reporting.sheets import SIDE, Tile

    tiles = []
    for row, caption in zip(rows, captions, strict=True):
        image, missing = crop_or_gray(Path(vectors.paths[row]), vectors.boxes[row], SIDE)
        tiles.append(Tile(image, missing or caption))
    return tiles
