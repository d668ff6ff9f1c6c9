"""Files are complete: after a kill at any moment, on a full disk, beside another process, with a damaged file."""

import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fitting import Recorder, assert_same, fit, table, weights
from killing import Kill, train
from running import ear, fails
from torch import Tensor

from earcli.checkpoints.checkpoint import Checkpoint
from earcli.checkpoints.runs import RunFolder
from earcli.config.teacher import TrainConfig
from earcli.errors import CheckpointError, DamagedError, RunError
from earcli.training.checkpoint_io import translate_restore_errors, write_checkpoint

EPOCHS = 4


NOTHING = "nothing: no epoch was over"


@pytest.fixture
def whole(config: TrainConfig) -> TrainConfig:
    return replace(config, epochs=EPOCHS, ema_decay=0.9, kl_anneal_threshold_psnr=1.0, kl_anneal_epochs=2)


def newest(config: TrainConfig) -> RunFolder:
    versions = (config.run_dir / config.run_name).iterdir()
    return RunFolder(max(versions, key=lambda path: int(path.name.removeprefix("version_"))))


def files(run: RunFolder) -> set[str]:
    """The names in a run folder; TensorBoard's files, one for each start, count as one."""
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    return {"events" if name.startswith("events.") else name for name in names}


def state(run: RunFolder) -> tuple[dict[str, Tensor], list[dict[str, str]], set[str]]:
    return weights(run), table(run), files(run)


def survive(config: TrainConfig, kill: Kill, expected: tuple[Any, Any, Any]) -> str:
    """Kills a run, resumes it, and compares the result; returns what it resumed from."""
    shutil.rmtree(config.run_dir, ignore_errors=True)
    while train(config, kill).code == 0:  # it was faster than the clock
        kill = replace(kill, at=kill.at / 2)
        shutil.rmtree(config.run_dir)
    try:
        checkpoint = Checkpoint.open("last.ckpt", run_dir=config.run_dir, resumable=True)
        path = checkpoint.path
        resumed_from = f"{path.name}, epochs done {checkpoint.content['ear']['epochs_done']}"
        checkpoint.release()
    except CheckpointError:
        path, resumed_from = None, NOTHING
    assert train(config, resume=path).code == 0, kill
    result = state(newest(config))
    assert_same(expected[0], result[0])
    assert result[1:] == expected[1:], kill
    return resumed_from


@pytest.mark.slow
def test_killed_while_it_writes_a_checkpoint(whole: TrainConfig) -> None:
    short = replace(whole, epochs=2)
    assert train(short).code == 0
    expected = state(newest(short))
    resumed_from = survive(replace(short, run_dir=whole.run_dir / "killed"), Kill("write", 4), expected)
    assert resumed_from == "last.ckpt, epochs done 1"


@pytest.mark.slow
def test_killed_at_thirty_moments(whole: TrainConfig) -> None:
    code, changes, seconds = train(whole)
    assert code == 0
    expected = state(newest(whole))
    draw = np.random.default_rng(0)
    kills = [Kill("write", number) for number in range(2, 2 * EPOCHS + 1)]
    kills += [Kill("gap", number) for number in range(1, EPOCHS)]
    late = 1 / EPOCHS  # before the first epoch is over there is nothing to go on from
    kills += [Kill("change", round(changes * at)) for at in draw.uniform(late, 1, 10)]
    kills += [Kill("time", seconds * at) for at in draw.uniform(late, 1, 10)]
    assert len(kills) == 30
    killed = replace(whole, run_dir=whole.run_dir / "killed")
    outcomes = Counter(survive(killed, kill, expected) for kill in kills)
    assert {outcome.split(",")[0] for outcome in outcomes} == {"last.ckpt", "previous.ckpt", NOTHING}
    print(
        f"{len(kills)} kills survived; they resumed from:", *(f"{n} × {what}" for what, n in outcomes.items()), sep="\n"
    )


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


@pytest.mark.slow
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(
    config: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    longer = replace(config, epochs=3)
    run, _ = fit(longer)
    expected = weights(run), table(run)
    before = run.previous.read_bytes()
    cut(run.last)
    checkpoint = Checkpoint.open("last.ckpt", run_dir=config.run_dir, resumable=True)
    assert (checkpoint.path, checkpoint.content["ear"]["epochs_done"]) == (run.previous, 2)
    assert caplog.messages[0].startswith(f"{run.last} is damaged")
    assert caplog.messages[0].endswith(f"Opened {run.previous} instead.")
    fit(longer, resume=checkpoint)
    assert run.previous.read_bytes() == before  # a damaged file has not replaced it
    assert_same(expected[0], weights(run))
    assert expected[1] == table(run)
    run.last.unlink()
    assert Checkpoint.open(run.last, resumable=True).path == run.previous
    cut(run.previous)
    assert Checkpoint.open("last.ckpt", run_dir=config.run_dir).path.name.startswith(
        "ear_vae-epoch=002"
    )  # weights only
    with pytest.raises(DamagedError, match=r"last.ckpt does not exist"):
        Checkpoint.open("last.ckpt", run_dir=config.run_dir, resumable=True)


def test_only_a_damaged_checkpoint_gives_way(config: TrainConfig) -> None:
    run, _ = fit(config)
    content = torch.load(run.last, weights_only=True)
    torch.save({**content, "hyper_parameters": {"latent_dim": 8, "landmarks": 17}}, run.last)
    with pytest.raises(CheckpointError, match="is a detector's checkpoint, expected a teacher's"):
        Checkpoint.open(run.last, "teacher")


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A limit that the system puts on files, which is what a full disk is like: a write fails in its middle."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_no_damage_of_a_checkpoint_and_no_full_disk_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resume(error: Exception, started: bool = False) -> None:
        with translate_restore_errors(tmp_path / "last.ckpt", lambda: started):
            raise error

    with pytest.raises(CheckpointError, match=r"last.ckpt is damaged: .* \(KeyError: 'loops'\)"):
        resume(KeyError("loops"))
    for error in (MemoryError(), OSError(28, "full"), RuntimeError("CUDA out of memory."), RunError("x")):
        with pytest.raises(type(error)):
            resume(error)
    with pytest.raises(KeyError):
        resume(KeyError("loops"), started=True)
    monkeypatch.setattr(torch, "save", lambda *a: (_ for _ in ()).throw(RuntimeError("device-side assert")))
    with pytest.raises(RuntimeError, match="device-side assert"):
        write_checkpoint({}, tmp_path / "x.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_stops_a_run_with_its_reason_and_leaves_the_checkpoint_before_whole(config: TrainConfig) -> None:
    with ExitStack() as stack:

        def fill(epoch: int, batch: int) -> None:
            if epoch == 1:
                stack.enter_context(largest_file(2**20))

        with pytest.raises(RunError, match=r"epoch=001.*\.ckpt cannot be written \(File too large\). Free space there"):
            fit(config, Recorder(fill))
    run = newest(config)
    assert Checkpoint.open("last.ckpt", run_dir=config.run_dir).content["ear"]["epochs_done"] == 1
    assert not [name for name in files(run) if name.endswith(".tmp")]


@pytest.mark.parametrize(
    ("size", "arguments"),
    [
        (2**20, ["export", "--format", "safetensors", "--checkpoint", "TEACHER", "--output", "OUT/encoder"]),
        (2**20, ["export", "--format", "pt2", "--checkpoint", "TEACHER", "--output", "OUT/encoder.pt2"]),
        (2**12, ["embed", "EARS/images", "--checkpoint", "TEACHER", "--output", "OUT/ears.npz"]),
        (2**12, ["prepare", "EARS/images", "--output", "OUT/set"]),
        (2**10, ["synth", "OUT/drawn", "--count", "8"]),
    ],
    ids=lambda value: "-".join(value[:3:2]) if isinstance(value, list) else "",
)
def test_results_that_do_not_fit_on_a_disk_are_told_and_leave_nothing(
    teacher: Path, ears: Path, tmp_path: Path, size: int, arguments: list[str]
) -> None:
    (tmp_path / "out").mkdir()
    paths = {"TEACHER": str(teacher), "EARS": str(ears), "OUT": str(tmp_path / "out")}
    for name, path in paths.items():
        arguments = [argument.replace(name, path) for argument in arguments]
    with largest_file(size):
        result = ear(*arguments)
    fails(result, "cannot be written", "File too large")
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert left == ([".set.scan.jsonl"] if arguments[0] == "prepare" else [])  # by which the next start is quicker


@pytest.mark.slow
def test_two_runs_that_start_at_once_get_two_folders_and_one_folder_has_one_run(config: TrainConfig) -> None:
    once = replace(config, epochs=1)
    with ThreadPoolExecutor(2) as pool:
        assert [run.code for run in pool.map(train, [once] * 2)] == [0, 0]
    first, second = sorted((config.run_dir / config.run_name).iterdir())
    assert_same(weights(RunFolder(first)), weights(RunFolder(second)))
    run = RunFolder(first)
    claim = run.claim()
    with pytest.raises(RunError, match=f"Another process trains in {first}. Wait for its end, or stop it"):
        fit(config, resume=Checkpoint.open(run.last))
    claim.release()
    fit(config, resume=Checkpoint.open(run.last))
