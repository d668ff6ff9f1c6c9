"""A part to export, and real inputs to verify and calibrate the export on."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.config.detector import FinetuneConfig
from earcli.data.decoding import sample_crops
from earcli.data.labels import read_labels
from earcli.data.manifest import Manifest
from earcli.data.views import expand_boxes
from earcli.exporting.parity import Decode
from earcli.exporting.parts import Part, PartName, detector_part, make_part
from earcli.exporting.runtime import Floats, to_images
from earcli.exporting.torch_export import module_runner
from earcli.models.vae import EarVAE
from earcli.tasks.inputs import training_set, validation_set

PARITY_COUNT = 20
CALIBRATION_COUNT = 128


@dataclass(frozen=True)
class ExportInputs:
    """A part to export, with the inputs that `earcli.exporting.export.export_part` needs.

    Attributes:
        part: The part.
        parity: Inputs of the part to compare on (20, ...).
        calibration: Inputs of the part that int8 is calibrated on (128, ...), or None.
        decode: The teacher's; None for a detector.
    """

    part: Part
    parity: Floats
    calibration: Floats | None = None
    decode: Decode | None = None


def prepare_export(
    checkpoint: Checkpoint,
    part: PartName,
    *,
    calibrate: bool,
    manifest: str | Path | None,
    root_dir: str | Path | None,
    num_workers: int,
) -> ExportInputs:
    """Loads a part of a checkpoint's model on the CPU, and real inputs for it.

    Args:
        checkpoint: A detector for the part `detector`, else a teacher.
        part: The part.
        calibrate: Whether to read calibration inputs, by default of the teacher's training set.
        manifest: The pictures, for a detector with labels; None for the sets of the run.
        root_dir: Folder that relative paths start from; None for the run's, or the manifest's.
        num_workers: Threads that decode pictures.

    Raises:
        CheckpointError: The weights do not fit.
        ManifestError: The manifest is missing or malformed.
        DataError: No picture can be used.
    """
    config = checkpoint.config
    if isinstance(config, FinetuneConfig):
        views = _detector_views(config, manifest, root_dir)
        images = to_images(sample_crops(views, config.side, PARITY_COUNT, num_workers))
        return ExportInputs(detector_part(checkpoint.detector(), config.side), images)
    model = checkpoint.teacher()
    chosen = make_part(model, part)

    def read_inputs(pictures: Manifest, count: int) -> Floats:
        return _as_inputs(chosen, model, to_images(sample_crops(pictures, config.image_size, count, num_workers)))

    parity = read_inputs(validation_set(checkpoint, manifest, root_dir), PARITY_COUNT)
    if not calibrate:
        return ExportInputs(chosen, parity, decode=model.decode)
    calibration = read_inputs(training_set(checkpoint, manifest, root_dir, "manifest"), CALIBRATION_COUNT)
    return ExportInputs(chosen, parity, calibration, model.decode)


def _as_inputs(part: Part, model: EarVAE, images: Floats) -> Floats:
    """The inputs of a part for images (N, 3, S, S): the images themselves, or their posterior means (N, code_dim)."""
    if part.input == "images":
        return images
    encode = module_runner(make_part(model, "encoder").module)
    return np.concatenate([encode(image[None])["mu"] for image in images])


def _detector_views(config: FinetuneConfig, manifest: str | Path | None, root_dir: str | Path | None) -> Manifest:
    """The views of labeled pictures that the detector was validated on."""
    root = root_dir or (config.root_dir if manifest is None else None)
    labels = read_labels(
        Path(manifest or config.val_manifest), root and Path(root), config.num_landmarks, category=config.category
    )
    boxes = expand_boxes(labels.manifest.boxes, config.view_margin, labels.sizes)
    return replace(labels.manifest, boxes=boxes)
