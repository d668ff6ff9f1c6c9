"""`ear` for the tests of several processes; Lightning starts the other processes by the same command line.

Batch norms are in eval mode, so that the result does not depend on how a batch is split. In the environment, STILL=1
removes the noise of the latent space; in batch B of epoch E, STOP=E,B,R sends rank R a SIGTERM, and BAD=E,B,R makes
its loss NaN.
"""

import os
import signal
from typing import Any

import torch
from torch import Tensor, nn

from earcli.cli.app import main
from earcli.models.detector import EarDetector
from earcli.models.encoder import Posterior
from earcli.models.vae import EarVAE
from earcli.training.teacher import TeacherModule

plain_step = TeacherModule.training_step
stop, bad = (os.environ.get(name, "") for name in ("STOP", "BAD"))


def freeze(network: type[nn.Module]) -> None:
    """Keeps the batch norms of a class of networks in eval mode."""
    plain_init, plain_train = network.__init__, network.train

    def train(self: nn.Module, mode: bool = True) -> nn.Module:
        plain_train(self, mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def init(self: nn.Module, *arguments: Any, **named: Any) -> None:
        plain_init(self, *arguments, **named)
        train(self)

    network.__init__, network.train = init, train  # type: ignore[assignment, method-assign]


def still(self: Posterior, generator: torch.Generator | None = None) -> Tensor:
    return self.mu


def disturbed(self: TeacherModule, batch: Any, batch_idx: int) -> Tensor:
    here = f"{self.current_epoch},{batch_idx},{self.global_rank}"
    if here == stop:
        os.kill(os.getpid(), signal.SIGTERM)
    if here == bad:
        with torch.no_grad():
            self.model.decoder.to_rgb.bias.fill_(torch.nan)
    return plain_step(self, batch, batch_idx)


if __name__ == "__main__":
    freeze(EarVAE)
    freeze(EarDetector)
    if os.environ.get("STILL"):
        Posterior.sample = still  # type: ignore[method-assign]
    TeacherModule.training_step = disturbed  # type: ignore[method-assign]
    main()
