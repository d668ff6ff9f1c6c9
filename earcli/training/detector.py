"""The training step and validation of detectors."""

from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from earcli.analysis.detection import DetectionResults
from earcli.config.detector import FinetuneConfig
from earcli.data.augmentation import STRENGTHS
from earcli.data.batches import PixelDataset, as_pixels, evenly_spaced
from earcli.data.views import ViewBatch, render_views
from earcli.losses.detection import TERMS, Target, detection_losses
from earcli.losses.objective import Losses
from earcli.models.detector import Detection, EarDetector
from earcli.reporting.drawing import draw_ears
from earcli.reporting.plots import image_rows
from earcli.training.distributed import all_gather_items, all_gather_rows, sum_across_ranks, world_size
from earcli.training.module import SAMPLE_COUNT, TRAIN_STREAM, EarModule


class DetectorModule(EarModule):
    """Trains an `EarDetector`.

    Args:
        config: Settled.
        model: Initialized as the configuration says.
        steps_per_epoch: Optimizer steps.
        val: The validation set, for `sample_grid`.

    Attributes:
        results: The predictions on the validation set in the last epoch.
    """

    SAMPLES_FOLDER = "predictions"
    EPOCH_MEANS = ("loss", *TERMS)
    config: FinetuneConfig
    model: EarDetector
    average: EarDetector | None

    def __init__(self, config: FinetuneConfig, model: EarDetector, steps_per_epoch: int, val: PixelDataset) -> None:
        super().__init__(config, model, steps_per_epoch)
        self.val = val
        self.weights = {name: getattr(config, f"{name}_weight") for name in TERMS}
        self.results: list[DetectionResults] = []

    def sample_grid(self) -> NDArray[np.uint8]:
        """Labels in the upper row, predictions in the lower one."""
        batch = self.val[evenly_spaced(len(self.val), SAMPLE_COUNT)]
        on_device = cast(ViewBatch, {name: value.to(self.device) for name, value in batch.items()})
        images, _ = render_views(on_device, self.config.side, None)
        boxes, points = (value.float().cpu().numpy() for value in self.network(images))
        pixels = as_pixels(images)
        labels = draw_ears(pixels, batch["boxes"].numpy(), batch["points"].numpy(), batch["seen"].numpy() > 0)
        return image_rows([labels, draw_ears(pixels, boxes[:, :4], points[:, :, :2])])

    # -- training

    def training_step(self, batch: ViewBatch, batch_idx: int) -> Tensor:
        total = len(batch["pixels"]) * world_size()
        generator = self.generator(TRAIN_STREAM, self.current_epoch, batch_idx, total)
        images, target = render_views(batch, self.config.side, STRENGTHS[self.config.augment], generator)
        losses = self.losses(self.model(images), target, total)
        self.accumulate(losses.terms, losses.total)
        loss: Tensor = losses.total
        return loss

    def losses(self, detection: Detection, target: Target, total: int) -> Losses:
        """The losses of the global batch: a mean over labeled points is not the mean of the ranks' means.

        Args:
            detection: Predictions on this rank.
            target: Ground truth on this rank.
            total: Samples in the global batch.
        """
        boxes, keypoints = (all_gather_rows(value, total) for value in detection)
        targets = Target(*(all_gather_rows(value, total) for value in target))
        return detection_losses(boxes, keypoints, targets, self.weights)

    def lr_scales(self) -> Mapping[int, float]:
        if self.config.init == "none":
            return {}
        model, scale = self.model, self.config.trunk_lr_scale
        teacher = model.pretrained_parameters() if self.config.init == "teacher" else ()
        return {id(p): scale for p in teacher} | model.encoder.lr_scales(scale, self.config.layer_decay)

    # -- validation

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.results = []

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        images, target = render_views(batch, self.config.side, None)
        detection = self.network(images)
        losses = self.losses(detection, target, sum_across_ranks(len(images), self.device))
        self.add({"loss": losses.total, **losses.terms}, len(images))
        self.results.append(DetectionResults.from_batch(detection, batch))

    def finish_record(self) -> None:
        self.results = all_gather_items(self.results)
        summary = DetectionResults.concatenate(self.results).summary()
        self.record |= {f"val/{name}": value for name, value in summary.items()}
