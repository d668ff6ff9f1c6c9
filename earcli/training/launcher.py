"""How the processes of a run end: together, whichever of them ends first."""

import ctypes
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Trainer
from torch.distributed import DistError

from earcli.errors import TrainingError

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h
LOST = (
    "Another process of this run has ended, and said why if it could, or cannot be reached ({}). Mend that, and go on "
    "with ear resume."
)


@contextmanager
def linked_processes(trainer: Trainer) -> Iterator[None]:
    """Sees to it that no process that Lightning starts within outlives the one that started it.

    torchrun and SLURM see to those that they started.

    Raises:
        TrainingError: another process has ended.
    """
    strategy = trainer.strategy
    environment = getattr(strategy, "cluster_environment", None)
    if isinstance(environment, LightningEnvironment) and trainer.local_rank and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    launcher = strategy.launcher
    try:
        yield
    except BaseException as error:
        for child in getattr(launcher, "procs", []):
            child.kill()  # it may wait for this process, which is about to end
        if trainer.world_size > 1 and is_lost(error):
            reason = " ".join(str(error).split("\n", 1)[0].split())
            raise TrainingError(LOST.format(reason) if trainer.is_global_zero else "") from error
        raise
    finally:
        # Lightning ends this process where one of them ended badly, also when the run is complete; it makes the list
        # anew when it starts them
        getattr(launcher, "procs", []).clear()


def is_lost(error: BaseException) -> bool:
    """Whether an error is what a collective makes of a process that is gone."""
    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
