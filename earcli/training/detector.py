"""Where detector, labels and losses meet: what one step of fine-tuning does."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from earcli.analysis.detection import DetectionResults
from earcli.config.detector import FinetuneConfig
from earcli.data.augmentation import STRENGTHS
from earcli.data.batches import PixelDataset, as_pixels, evenly_spaced
from earcli.data.views import Target, ViewBatch, show
from earcli.losses.detection import TERMS, detection_losses
from earcli.losses.objective import Losses
from earcli.models.detector import Detection, EarDetector
from earcli.reporting.drawing import draw_ears
from earcli.reporting.plots import image_rows
from earcli.training.distributed import all_gather_items, all_gather_rows, sum_across_ranks, world_size
from earcli.training.module import TRAIN_STREAM, EarModule

SHOWN_EARS = 8


class DetectorModule(EarModule):
    """Trains an `EarDetector`.

    Args:
        model: knows what the configuration says that it starts from.
        val: the validation set, of which `draw` shows a few.
    """

    PICTURES = "predictions"
    MEANS = ("loss", *TERMS)
    config: FinetuneConfig
    model: EarDetector
    average: EarDetector | None

    def __init__(self, config: FinetuneConfig, model: EarDetector, steps_per_epoch: int, val: PixelDataset) -> None:
        super().__init__(config, model, steps_per_epoch)
        self.val = val
        self.weights = {name: getattr(config, f"{name}_weight") for name in TERMS}
        self.found: list[DetectionResults] = []

    def draw(self) -> NDArray[np.uint8]:
        """Labels above, what the network finds below."""
        batch = self.val[evenly_spaced(len(self.val), SHOWN_EARS)]
        images = show({name: value.to(self.device) for name, value in batch.items()}, 0, None)[0]  # type: ignore[arg-type]
        detection = self.network(images)
        pixels = as_pixels(images)
        wanted = draw_ears(pixels, batch["boxes"].numpy(), batch["points"].numpy(), batch["seen"].numpy() > 0)
        boxes, points = (value.float().cpu().numpy() for value in detection)
        return image_rows([wanted, draw_ears(pixels, boxes[:, :4], points[:, :, :2])])

    # -- training

    def training_step(self, batch: ViewBatch, batch_idx: int) -> Tensor:
        total = len(batch["pixels"]) * world_size()
        generator = self.generator(TRAIN_STREAM, self.current_epoch, batch_idx, total)
        images, target = show(batch, self.config.side, STRENGTHS[self.config.augment], generator)
        losses = self.losses(self.model(images), target, total)
        self.note_step(losses.terms, losses.total)
        loss: Tensor = losses.total
        return loss

    def losses(self, detection: Detection, target: Target, total: int) -> Losses:
        """Those of the batch on all processes: a mean over labeled points is no mean of the processes' means."""
        boxes, keypoints = (all_gather_rows(value, total) for value in detection)
        wanted = Target(*(all_gather_rows(value, total) for value in target))
        return detection_losses(boxes, keypoints, *wanted, self.weights)

    def lr_scales(self) -> Mapping[int, float]:
        if self.config.init == "none":
            return {}
        model, whole = self.model, self.config.init == "teacher"
        kept = model.pretrained_parameters() if whole else model.encoder.trunk_parameters()
        return {id(p): self.config.trunk_lr_scale for p in kept}

    # -- validation

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.found = []

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        images, target = show(batch, self.config.side, None)
        detection = self.network(images)
        losses = self.losses(detection, target, sum_across_ranks(len(images), self.device))
        self.add({"loss": losses.total, **losses.terms}, len(images))
        self.found.append(DetectionResults.from_batch(detection, batch))

    def complete_record(self) -> None:
        self.found = all_gather_items(self.found)
        self.record |= {
            f"val/{name}": value for name, value in DetectionResults.concatenate(self.found).summary().items()
        }
