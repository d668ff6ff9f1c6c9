"""Ends the processes of a run together, whichever ends first."""

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
    "Another process of this run ended, with its own error message if possible, or cannot be reached ({}). Fix the "
    "cause, then use ear resume."
)


@contextmanager
def linked_processes(trainer: Trainer) -> Iterator[None]:
    """Makes sure that no process started by Lightning within this context outlives the process that started it.

    torchrun and SLURM do that for theirs.

    Raises:
        TrainingError: Another process has ended.
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
        if trainer.world_size > 1 and _is_lost_process(error):
            reason = " ".join(str(error).split("\n", 1)[0].split())
            raise TrainingError(LOST.format(reason) if trainer.is_global_zero else "") from error
        raise
    finally:
        # Lightning kills this process if one in the list fails, even after a complete run
        getattr(launcher, "procs", []).clear()


def _is_lost_process(error: BaseException) -> bool:
    """Whether a collective operation failed because another process is gone."""
    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
