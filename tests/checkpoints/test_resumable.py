"""Tests of `earcli/checkpoints/resumable.py`."""

from typing import Any

import pytest
import torch
from running import ear, fails

from earcli.checkpoints.runs import RunFolder


def lost(checkpoint: dict[str, Any], *keys: Any) -> None:
    for key in keys[:-1]:
        checkpoint = checkpoint[key]
    del checkpoint[keys[-1]]


DAMAGE = {
    "no epochs": lambda c: lost(c, "ear", "epochs_done"),
    "words for epochs": lambda c: c["ear"].update(epochs_done="two"),
    "no process at all": lambda c: c["ear"].update(processes=0),
    "words for processes": lambda c: c["ear"].update(processes="two"),
    "words for steps": lambda c: c["ear"].update(steps_per_epoch="two"),
    "no steps": lambda c: lost(c, "ear", "steps_per_epoch"),
    "sums of words": lambda c: c["ear"].update(sums={"loss": "x"}),
    "no optimizer": lambda c: c.update(optimizer_states=[]),
    "moments of another shape": lambda c: c["optimizer_states"][0]["state"][0].update(exp_avg=torch.zeros(77)),
    "moments of words": lambda c: c["optimizer_states"][0]["state"].update({0: "x"}),
    "no groups": lambda c: lost(c["optimizer_states"][0], "param_groups"),
    "weights of another network": lambda c: c["hyper_parameters"].update(latent_dim=999),
    "progress of words": lambda c: c["loops"]["fit_loop"]["epoch_progress"]["current"].update(ready="x"),
    "no progress": lambda c: lost(c, "loops", "fit_loop", "epoch_progress"),
    "no parameters in the groups": lambda c: lost(c, "optimizer_states", 0, "param_groups", 0, "params"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_run_does_not_go_on_from_nonsense(run: RunFolder, damage: str) -> None:
    checkpoint = torch.load(run.last, weights_only=True)
    DAMAGE[damage](checkpoint)
    run.last.unlink()  # a link to the file that other tests share
    torch.save(checkpoint, run.last)
    fails(ear("resume", run.last, "--epochs", 4), "last.ckpt", "Take an older")
