"""What makes a step fast computes what the plain way computes."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from earcli.config.teacher import TrainConfig
from earcli.training.optimizer import AdamW
from earcli.training.teacher import TeacherModule


@pytest.mark.parametrize("fused", [False, True])
def test_adamw_is_adamw_in_any_layout(fused: bool) -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 4, 5)).to(memory_format=torch.channels_last)
    theirs = copy.deepcopy(ours).to(memory_format=torch.contiguous_format)
    steps = AdamW(ours.parameters(), lr=0.01, fused=fused), torch.optim.AdamW(theirs.parameters(), lr=0.01)
    for _ in range(3):
        x = torch.randn(2, 3, 4, 4)
        for model, optimizer in zip((ours, theirs), steps, strict=True):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    again = AdamW(ours.parameters(), lr=0.01, fused=fused)
    again.load_state_dict(steps[0].state_dict())  # moments keep the shape of their weights
    assert again.state[ours[0].weight]["exp_avg"].shape == ours[0].weight.shape


def test_the_learning_rate_warms_up_then_falls_to_zero(config: TrainConfig) -> None:
    module = TeacherModule(replace(config, epochs=10, warmup_epochs=1), steps_per_epoch=10)
    factors = [module.lr_factor(step) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11)
    assert np.argmax(factors) == 10
    assert max(factors) == 1
    assert factors[-1] < 0.001
    assert (np.diff(factors[:10]) > 0).all()
    assert (np.diff(factors[10:]) < 0).all()


def test_a_pretrained_trunk_learns_slower_and_norms_do_not_decay(config: TrainConfig) -> None:
    module = TeacherModule(replace(config, weights="x", trunk_lr_scale=0.1, lr=1e-3, weight_decay=0.1), 10)
    groups = module.configure_optimizers()["optimizer"].param_groups
    where = {id(p): (g["initial_lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    encoder = module.model.encoder
    assert where[id(encoder.trunk.stem[0].weight)] == (pytest.approx(1e-4), 0.1)
    assert where[id(encoder.trunk.stem[1].weight)] == (pytest.approx(1e-4), 0)
    assert where[id(encoder.mu_head.weight)] == (pytest.approx(1e-3), 0.1)
    assert where[id(encoder.mu_head.bias)] == (pytest.approx(1e-3), 0)
    assert len(where) == len(list(module.model.parameters()))
