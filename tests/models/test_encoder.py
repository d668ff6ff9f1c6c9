"""Tests of `earcli/models/encoder.py`."""

import pytest
import torch

from earcli.models.vae import EarVAE


def test_log_variance_is_clamped(model: EarVAE) -> None:
    broken = EarVAE(4, 64, "resnet18").eval()
    torch.nn.init.constant_(broken.encoder.logvar_head.bias, 1e6)
    assert broken.encoder(torch.zeros(1, 3, 64, 64)).logvar.max() == 10


@pytest.mark.parametrize("layers", [0, 1, 4])
def test_frozen_layers_do_not_move_and_all_others_do(layers: int) -> None:
    torch.manual_seed(0)
    model = EarVAE(4, 64, "resnet18", freeze_layers=layers).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(3):  # first the silent image layer learns, then the silent norms, then what is behind them
        output = model(torch.randn(4, 3, 64, 64))
        (output.reconstruction.square().mean() + output.posterior.logvar.mean() + output.posterior.mu.mean()).backward()
        optimizer.step()
    frozen = ["encoder.trunk.stem.", *(f"encoder.trunk.layers.{n}." for n in range(layers))] if layers else []
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(tuple(frozen)), name
