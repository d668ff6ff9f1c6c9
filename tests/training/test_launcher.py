"""Tests of `earcli/training/launcher.py`."""

from types import SimpleNamespace
from typing import Any

import pytest

from earcli.errors import TrainingError
from earcli.training.launcher import linked_processes


class Child:
    killed = False

    def kill(self) -> None:
        self.killed = True


@pytest.mark.parametrize("error", [None, ValueError(), RuntimeError("gloo: connection closed by peer\nat line 3")])
def test_the_processes_that_were_started_end_with_the_one_that_failed(error: Exception | None) -> None:
    launcher, child = SimpleNamespace(procs=[]), Child()
    strategy = SimpleNamespace(launcher=launcher, cluster_environment=None)
    run: Any = SimpleNamespace(strategy=strategy, world_size=2, is_global_zero=True, local_rank=0)
    raised = None
    try:
        with linked_processes(run):
            launcher.procs = [child]  # as Lightning does, a new list
            if error is not None:
                raise error
    except Exception as caught:
        raised = caught
    assert child.killed == (error is not None)
    assert launcher.procs == []  # Lightning no longer watches any of them
    if isinstance(error, RuntimeError):
        assert isinstance(raised, TrainingError)
        assert "or cannot be reached (gloo: connection closed by peer). Fix the cause" in str(raised)
    else:
        assert raised is error
