"""The commands as a user gives them: what they print, what they leave, how they fail."""

import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from running import EAR, ear, fails, manifests

SMALL = ["--preset", "tiny", "--latent-dim", "8", "--limit-train", "8", "--limit-val", "4", "--batch-size", "4",
         "--precision", "32"]  # fmt: skip


def test_synth_then_train_then_resume(tmp_path: Path) -> None:
    result = ear("synth", tmp_path / "ears", "--count", 20, "--seed", 3)
    assert result.exit_code == 0, result.output
    runs = ["--run-dir", str(tmp_path / "runs")]
    result = ear("train", *SMALL, *manifests(tmp_path / "ears"), *runs, "--epochs", 1, "--no-cache")
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "runs" / ".cache").exists()
    assert "8 training ears, 4 validation ears; precision 32" in result.stdout
    assert re.search(r"^epoch 0 .*PSNR_dB \d+\.\d\d .*SSIM .*KL_weight .*KL_nats .*active .*img/s", result.stdout, re.M)
    assert "the mean training image alone gives" in result.stdout
    assert "KL annealing never began" in result.stdout
    run = tmp_path / "runs" / "ear_vae" / "version_0"
    fails(ear("resume", *runs), "has all of its 1 epochs", "Give --epochs more than 1")
    result = ear("resume", *runs, "--epochs", 2)
    assert result.exit_code == 0, result.output
    result = ear("train", "--resume", run / "checkpoints" / "last.ckpt", "--epochs", 3)
    assert result.exit_code == 0, result.output
    assert len((run / "metrics.csv").read_text().splitlines()) == 4
    assert not (run.parent / "version_1").exists()
    best = sorted((run / "checkpoints").glob("ear_vae-*"))[0]
    fails(ear("resume", best), "holds weights only")
    fails(ear("train", "--resume", run / "checkpoints" / "last.ckpt", "--latent-dim", 9), "--latent-dim cannot change")
    fails(ear("train", "--resume", "x.ckpt", "--preset", "small"), "omit --preset and --config")


def test_print_config_shows_what_a_run_would_use(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("lr: 0.5\nseed: 9\n")
    result = ear("train", "--preset", "small", "--config", tmp_path / "c.yaml", "--seed", 4, "--print-config")
    assert result.exit_code == 0
    assert {"image_size: 64", "lr: 0.5", "seed: 4"} <= set(result.stdout.splitlines())


def test_every_knob_is_a_flag_with_its_default_in_the_help() -> None:
    from dataclasses import fields

    from earcli.cli.flags import flag
    from earcli.config.teacher import TrainConfig

    text = ear("train", "--help").stdout
    for item in fields(TrainConfig):
        assert flag(item.name) in text
    assert "[default: 24.0]" in text


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--train-manifest", "nowhere.npy"], ["nowhere.npy does not exist", "ear synth"]),
        (["--kl-anneal-epochs", "-3"], ["--kl-anneal-epochs must be 0 or more, got -3."]),
        (["--image-size", "100"], ["--image-size must be a multiple of 32 from 64 to 256, got 100."]),
        (["--preset", "huge"], ["--preset must be one of full, small, medium, tiny, got 'huge'."]),
        (["--config", "nowhere.yaml"], ["--config nowhere.yaml cannot be read"]),
        (["--root-dir", "nowhere"], ["nowhere is not a folder; the paths in"]),
        (["--precision", "16-mixed"], ["--precision 16-mixed needs CUDA"]),
        (["--weights", "imagenet"], ["resnet18-f37072fd.pth is not on this machine", "--weights none"]),
        (["--perceptual-weights", "nowhere.pth"], ["--perceptual-weights nowhere.pth: no such file"]),
        (["--batch-size", "auto"], ["--batch-size auto needs CUDA", "Set a number"]),
        (["--batch-size", "9"], ["8 training pictures do not fill one batch of 9"]),
        (["--strategy", "bogus"], ["--strategy must be auto or ddp, got bogus"]),
        (["--resume", "nowhere.ckpt"], ["nowhere.ckpt does not exist"]),
    ],
)
def test_every_mistake_is_one_line(ears: Path, tmp_path: Path, arguments: list[str], parts: list[str]) -> None:
    base = [] if arguments[0] == "--resume" else [*SMALL, *manifests(ears), "--run-dir", str(tmp_path / "runs")]
    fails(ear("train", *base, *arguments), *parts)
    assert not list(tmp_path.glob("runs/ear_vae/*"))


def test_bad_data_and_places_are_one_line(ears: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", {"image_paths": ["a.jpg"] * 5, "bboxes": [None] * 5}, allow_pickle=True)
    np.save(tmp_path / "none.npy", {"image_paths": [], "bboxes": []}, allow_pickle=True)
    (tmp_path / "file").write_text("")
    runs = ["--run-dir", str(tmp_path / "runs")]
    fails(
        ear("train", *SMALL, *manifests(ears), *runs, "--train-manifest", tmp_path / "few.npy"),
        "no such file",
        "5 of 5",
    )
    fails(ear("train", *SMALL, *manifests(ears), *runs, "--val-manifest", tmp_path / "none.npy"), "is empty")
    fails(ear("train", *SMALL, *manifests(ears), "--run-dir", tmp_path / "file"), "cannot be written")
    fails(ear("synth", tmp_path), "is not empty")
    fails(ear("resume", *runs), "No run in", "has last.ckpt")


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = ear("train", "--train-manifest", tmp_path / "no.npy", *SMALL[:2], "--debug")
    assert result.exit_code == 1
    assert type(result.exception).__name__ == "ManifestError"


def test_a_skipped_picture_is_named_and_listed(tmp_path: Path) -> None:
    ear("synth", tmp_path / "ears", "--count", 50)
    bad = tmp_path / "ears" / "images" / "ear_00030.jpg"
    bad.write_bytes(b"")
    options = [*SMALL, *manifests(tmp_path / "ears"), "--limit-train", 40, "--epochs", 1]
    result = ear("train", *options, "--run-dir", tmp_path / "runs")
    assert result.exit_code == 0, result.output
    assert "skipped images/ear_00030.jpg: empty file" in result.stdout
    listed = tmp_path / "runs" / "ear_vae" / "version_0" / "skipped.csv"
    assert listed.read_text() == "path,reason\nimages/ear_00030.jpg,empty file\n"


@pytest.mark.slow
def test_a_signal_saves_and_says_how_to_go_on(ears: Path, tmp_path: Path) -> None:
    options = [*SMALL, *manifests(ears), "--epochs", "500", "--run-dir", str(tmp_path / "runs")]
    process = subprocess.Popen([EAR, "train", *options], stdout=subprocess.PIPE, text=True)
    last = tmp_path / "runs" / "ear_vae" / "version_0" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 60
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    command = next(line for line in output.splitlines() if line.startswith("stopped; continue with: "))
    assert command.removeprefix("stopped; continue with: ") == f"ear resume {last}"
    assert torch.load(last, weights_only=True)["ear"]["epochs_done"] >= 1
