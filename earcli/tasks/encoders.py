"""The encoder behind a checkpoint or an ONNX file, and contact sheets of what it embedded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from earcli.analysis.retrieval import Embedder, Floats
from earcli.checkpoints.runs import RunFolder, find_checkpoint
from earcli.data.embeddings import Embeddings, EncoderInfo
from earcli.data.uncached import crop_or_gray
from earcli.errors import CheckpointError, ConfigError
from earcli.reporting.sheets import SIDE, Tile

POOLED = "stride32"


def open_embedder(
    checkpoint: str,
    *,
    run_dir: Path,
    backend: Literal["torch", "onnx"] | None,
    part: Literal["encoder", "features"],
    device: str,
) -> Embedder:
    """Opens an encoder, without torch where it is an ONNX file.

    Args:
        checkpoint: A checkpoint, or an `.onnx` file that `ear export` wrote.
        run_dir: Folder of all runs.
        backend: None chooses by the file.
        part: `encoder` gives posterior means, `features` the backbone's last map, averaged over positions.
        device: For torch.

    Raises:
        CheckpointError: There is none, it cannot be used, or the run has no ONNX file of it.
        ConfigError: The device is not available, or torch is asked to run an ONNX file.
    """
    if checkpoint.endswith(".onnx"):
        if backend == "torch":
            raise ConfigError(f"`backend` torch cannot run {checkpoint}. Give `backend` onnx, or a checkpoint.")
        return _onnx_embedder(Path(checkpoint), part)
    if backend == "onnx":
        return _onnx_embedder(_exported_file(checkpoint, run_dir, part), part)
    return _torch_embedder(checkpoint, run_dir, part, device)


def make_tiles(embeddings: Embeddings, rows: Sequence[int], captions: Sequence[str]) -> list[Tile]:
    """Tiles of a contact sheet; gray, with the reason, if a picture cannot be read any more."""
    tiles = []
    for row, caption in zip(rows, captions, strict=True):
        image, reason = crop_or_gray(Path(embeddings.paths[row]), embeddings.boxes[row], SIDE)
        tiles.append(Tile(image, reason or caption))
    return tiles


def _exported_file(checkpoint: str, run_dir: Path, part: str) -> Path:
    """The ONNX file that was exported from a checkpoint, in its run folder."""
    from earcli.exporting.runtime import OnnxModel

    path = find_checkpoint(checkpoint, run_dir)
    file = RunFolder.of(path).path / "export" / f"{part}.onnx"
    command = f"ear export --part {part} --checkpoint {path}"
    if not file.is_file():
        raise CheckpointError(f"{file} does not exist. Export it: {command}.")
    source = OnnxModel(file).metadata.checkpoint
    if source != path.name:
        raise CheckpointError(f"{file} was exported from {source}, not from {path.name}. Export again: {command}.")
    return file


def _onnx_embedder(path: Path, part: str) -> Embedder:
    from earcli.exporting.runtime import OnnxModel, to_images

    model = OnnxModel(path)
    metadata = model.metadata
    output = "mu" if part == "encoder" else POOLED
    if output not in model.outputs or model.input != "images":
        raise CheckpointError(f"{path} holds the {metadata.part}, which has no output {output}. Export the {part}.")

    def run(pixels: NDArray[np.uint8]) -> Floats:
        values = model(to_images(pixels))[output]
        return values if part == "encoder" else values.mean(axis=(2, 3))

    return Embedder(run, EncoderInfo(metadata.fingerprint, str(path), part, metadata.precision, metadata.image_size))


def _torch_embedder(checkpoint: str, run_dir: Path, part: str, device: str) -> Embedder:
    from earcli.analysis.encoding import choose_device, device_of, map_batches, posterior_means
    from earcli.checkpoints.checkpoint import Checkpoint

    target = choose_device(device)
    opened = Checkpoint.open(checkpoint, "teacher", run_dir=run_dir)
    model = opened.teacher(target)

    def run(pixels: NDArray[np.uint8]) -> Floats:
        if part == "encoder":
            return posterior_means(model, pixels, len(pixels))
        return map_batches(
            lambda images: [model.encoder.extract_features(images)[POOLED].mean((2, 3))],
            pixels,
            batch_size=len(pixels),
            device=device_of(model),
        )[0]

    side = opened.teacher_config.image_size
    return Embedder(run, EncoderInfo(opened.fingerprint, str(opened.path), part, "fp32", side))
