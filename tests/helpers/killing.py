"""Training in a separate process that is killed at a chosen moment, like `kill -9` or a power failure."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from fitting import Recorder, fit

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import LAST
from earcli.config.teacher import TrainConfig

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"}
# a process that has imported everything, from which the others fork: Lightning takes seconds to import
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["killing"])


@dataclass(frozen=True)
class Kill:
    """When to die.

    Attributes:
        how: `time`: seconds after the first batch; `change`: before the n-th change of the run folder; `write`: while
            writing the n-th checkpoint; `gap`: between the two renames that replace `last.ckpt` for the n-th time.
        at: The seconds, or n.
    """

    how: Literal["time", "change", "write", "gap"]
    at: float


class Run(NamedTuple):
    """A finished process: its exit code and, unless it was killed, its changes of the run folder and its seconds since
    the first batch."""

    code: int | None
    changes: int = 0
    seconds: float = 0.0


def train(config: TrainConfig, kill: Kill | None = None, resume: Path | None = None) -> Run:
    """Trains in another process."""
    receiver, sender = CONTEXT.Pipe()
    process = CONTEXT.Process(target=_train, args=(config, kill, resume, sender))
    process.start()
    sender.close()
    try:
        facts = receiver.recv()
    except EOFError:
        facts = ()
    process.join()
    return Run(process.exitcode, *facts)


def _train(config: TrainConfig, kill: Kill | None, resume: Path | None, connection: Any) -> None:
    torch.set_num_threads(1)
    changes = _count_changes(config.run_dir / config.run_name, kill)
    if kill and kill.how == "write":
        _die_writing(int(kill.at))
    started: list[float] = []

    def begin(epoch: int, batch: int) -> None:
        if kill and kill.how == "time" and not started:
            threading.Timer(kill.at, _die).start()
        started.append(time.perf_counter())

    fit(config, Recorder(begin), None if resume is None else Checkpoint.open(resume))
    connection.send((len(changes), time.perf_counter() - started[0]))
    os._exit(0)  # a timer may still run


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _count_changes(folder: Path, kill: Kill | None) -> list[str]:
    """A list that grows with every change under `folder`; this process dies before the change given by `kill`."""
    changes: list[str] = []
    main = os.getpid()

    def notice(event: str, arguments: tuple[Any, ...]) -> None:
        written = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if not ((event in CHANGES or written) and str(arguments[0]).startswith(str(folder)) and os.getpid() == main):
            return
        gap = event == "os.rename" and Path(arguments[0]).parts[-2:] == ("checkpoints", LAST)
        changes.append("gap" if gap else event)
        done = {"change": len(changes), "gap": changes[:-1].count("gap")}
        if kill and done.get(kill.how) == kill.at:
            _die()

    sys.addaudithook(notice)
    return changes


def _die_writing(last: int) -> None:
    """Makes this process die while it writes its `last`-th checkpoint."""
    save, count = torch.save, [0]

    def half(content: Any, path: Path) -> None:
        count[0] += 1
        if count[0] < last:
            save(content, path)
            return
        whole = BytesIO()
        save(content, whole)
        with path.open("wb") as file:
            file.write(whole.getvalue()[: whole.tell() // 2])
            file.flush()
            os.fsync(file.fileno())
        _die()

    torch.save = half
