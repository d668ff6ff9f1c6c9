"""Tests of `earcli/training/module.py`."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dtypes import WithoutFloat64

from earcli.config.detector import FinetuneConfig
from earcli.config.teacher import TrainConfig
from earcli.data.labels import read_labels
from earcli.data.views import view_dataset
from earcli.models.detector import EarDetector
from earcli.training.detector import DetectorModule
from earcli.training.module import lerp_average
from earcli.training.teacher import TeacherModule


def test_steps_of_teacher_and_detector_do_without_float64(config: TrainConfig, ears: Path) -> None:
    with pytest.raises(TypeError), WithoutFloat64():
        torch.ones(2).double()
    teacher = TeacherModule(replace(config, contrastive_weight=0.1), 1)
    crops = {"pixels": torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8), "subject": torch.tensor([0, 0, 1, -1])}
    labels = read_labels(ears / "train_landmarks.coco.json")
    views, _ = view_dataset(labels, 64, 0.1, vary=True, folder=config.run_dir, workers=1)
    model = EarDetector(teacher.model.encoder, teacher.model.decoder, len(labels.names))
    detector = DetectorModule(FinetuneConfig(image_size=64, augment="light"), model, 1, views)
    for module, batch in ((teacher, crops), (detector, views[np.arange(4)])):
        optimizer = module.configure_optimizers()["optimizer"]
        with WithoutFloat64():
            module.training_step(batch, 0).backward()
            module.configure_gradient_clipping()
            optimizer.step()
            module.update_average()
            with torch.no_grad():
                module.eval().validation_step(batch, 0)
        assert math.isfinite(module.sums["loss"])


def test_the_average_moves_by_its_decay() -> None:
    model, average = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(model.weight, 3.0)
    model.num_batches_tracked.fill_(5)
    lerp_average(average, model, 0.75)
    assert average.weight.tolist() == [1.5, 1.5]
    assert average.num_batches_tracked == 5
