"""Where detector, labels and losses meet: what one step of fine-tuning does."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from earcli.analysis.detection import Findings
from earcli.data.augment import STRENGTHS
from earcli.data.batches import PixelDataset, as_pixels, spread
from earcli.data.views import Target, ViewBatch, show
from earcli.detector_config import FinetuneConfig
from earcli.losses.detection import TERMS, detection_losses
from earcli.losses.objective import Losses
from earcli.models.detector import Detection, EarDetector
from earcli.reporting.drawing import draw_ears
from earcli.reporting.plots import image_rows
from earcli.training.base import TRAIN_STREAM, EarModule

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

    def __init__(self, config: FinetuneConfig, model: EarDetector, val: PixelDataset) -> None:
        super().__init__(config, model, -(-config.epoch_steps // config.accumulate))
        self.val = val
        self.weights = {name: getattr(config, f"{name}_weight") for name in TERMS}
        self.found: list[Findings] = []

    def draw(self) -> NDArray[np.uint8]:
        """Labels above, what the network finds below."""
        batch = self.val[spread(len(self.val), SHOWN_EARS)]
        images = show({name: value.to(self.device) for name, value in batch.items()}, 0, None)[0]  # type: ignore[arg-type]
        detection = self.network(images)
        pixels = as_pixels(images)
        wanted = draw_ears(pixels, batch["boxes"].numpy(), batch["points"].numpy(), batch["seen"].numpy() > 0)
        boxes, points = (value.float().cpu().numpy() for value in detection)
        return image_rows([wanted, draw_ears(pixels, boxes[:, :4], points[:, :, :2])])

    # -- training

    def training_step(self, batch: ViewBatch, batch_idx: int) -> Tensor:
        generator = self.generator(TRAIN_STREAM, self.current_epoch, batch_idx)
        strength = STRENGTHS[self.config.augment]
        images, target = show(batch, self.config.shape[0], strength, generator)
        losses = self.losses(self.model(images), target)
        self.note_step(losses.terms, losses.total)
        total: Tensor = losses.total
        return total

    def losses(self, detection: Detection, target: Target) -> Losses:
        return detection_losses(*detection, *target, self.weights)

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
        images, target = show(batch, self.config.shape[0], None)
        detection = self.network(images)
        losses = self.losses(detection, target)
        self.add({"loss": losses.total, **losses.terms}, len(images))
        self.found.append(Findings.of(detection, batch))

    def complete_record(self) -> None:
        found = [self.found]
        if self.trainer.world_size > 1:
            found = found * self.trainer.world_size
            torch.distributed.all_gather_object(found, self.found)
        everything = Findings.joined([part for each in found for part in each])
        self.record |= {f"val/{name}": value for name, value in everything.summary().items()}
