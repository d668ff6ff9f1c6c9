"""Files of weights that others wrote: used where they fit, refused where not, never run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from earcli.checkpoints.weights import read_checkpoint, read_pretrained, read_trunk, read_vgg, vgg_at_hand
from earcli.errors import CheckpointError, EarError, WeightsError
from earcli.losses.perceptual import PerceptualLoss
from earcli.models.vae import EarVAE


class Touch:
    """Unpickles into a call."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return path


def test_a_trunk_is_read_from_pth_and_safetensors_alike(resnet_file: Path, tmp_path: Path) -> None:
    state = torch.load(resnet_file, weights_only=True)
    save_file(state, tmp_path / "resnet18.safetensors")
    first = read_trunk("resnet18", str(resnet_file))
    second = read_trunk("resnet18", str(tmp_path / "resnet18.safetensors"))
    assert first is not None
    assert second is not None
    assert first.keys() == second.keys() == {k for k in state if not k.startswith("fc.")}
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_old_files_without_batch_counters_are_accepted(resnet_file: Path, tmp_path: Path) -> None:
    state = torch.load(resnet_file, weights_only=True)
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "old.pth")
    trunk = read_trunk("resnet18", str(tmp_path / "old.pth"))
    assert trunk is not None
    EarVAE(4, 64, "resnet18").encoder.load_trunk(trunk)


def test_none_is_none() -> None:
    assert read_trunk("resnet50", "none") is None
    assert read_vgg("none") is None


def test_vgg_at_hand_is_what_takes_no_download(tmp_path: Path) -> None:
    assert vgg_at_hand("imagenet") is None
    assert vgg_at_hand("none") is None
    assert vgg_at_hand(str(tmp_path / "moved.pth")) is None
    cached = Path(torch.hub.get_dir()) / "checkpoints" / "vgg16-397923af.pth"
    cached.parent.mkdir(parents=True)
    torch.save({"features.0.bias": torch.ones(3)}, cached)
    for source in ("imagenet", "none"):
        found = vgg_at_hand(source)
        assert found is not None
        assert found["features.0.bias"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("call", "option", "file"),
    [
        (lambda: read_trunk("resnet50", "imagenet"), "--weights", "resnet50-11ad3fa6.pth"),
        (lambda: read_vgg("imagenet"), "--perceptual-weights", "vgg16-397923af.pth"),
    ],
)
def test_without_network_the_error_names_file_address_and_place(
    call: Callable[[], object], option: str, file: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        call()
    message = str(caught.value)
    assert f"{option} imagenet: {file} is not on this machine and cannot be fetched (" in message
    assert f"https://download.pytorch.org/models/{file}" in message
    assert str(Path(torch.hub.get_dir()) / "checkpoints" / file) in message
    assert f"{option} none" in message


def test_a_file_in_the_cache_of_torch_needs_no_network(resnet_file: Path) -> None:
    url = torchvision.models.get_model_weights("resnet18").DEFAULT.url
    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    place.parent.mkdir(parents=True)
    place.write_bytes(resnet_file.read_bytes())
    assert read_trunk("resnet18", "imagenet") is not None


def test_weights_that_do_not_fit_say_how(resnet_file: Path) -> None:
    with pytest.raises(WeightsError, match=r"does not fit resnet34: .* weights are missing"):
        read_trunk("resnet34", str(resnet_file))
    with pytest.raises(WeightsError, match=r"is no VGG16: features.0.weight must be"):
        PerceptualLoss(read_pretrained("--perceptual-weights", str(resnet_file), ""))


def test_a_file_that_is_missing_damaged_or_hostile_is_refused(resnet_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    torch.save({"conv1.weight": Touch(target)}, tmp_path / "hostile.pth")
    (tmp_path / "cut.pth").write_bytes(resnet_file.read_bytes()[:1000])
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 40)
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("missing.pth", "hostile.pth", "cut.pth", "cut.safetensors", "list.pth"):
        with pytest.raises(WeightsError):
            read_trunk("resnet18", str(tmp_path / name))
    assert not target.exists()


# -- checkpoints of our own

GOOD = {"state_dict": {}, "hyper_parameters": {"latent_dim": 4}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": 1}, "it has no state_dict"),
        ([1], "it has no state_dict"),
        ({"state_dict": {}, "hyper_parameters": {}}, "lack latent_dim"),
    ],
)
def test_a_foreign_checkpoint_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "x.ckpt")


def test_a_missing_truncated_or_hostile_checkpoint_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    torch.save({**GOOD, "extra": Touch(target)}, tmp_path / "hostile.ckpt")
    torch.save(GOOD, tmp_path / "good.ckpt")
    whole = (tmp_path / "good.ckpt").read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / f"cut{cut}.ckpt").write_bytes(whole[:cut])
    assert read_checkpoint(tmp_path / "good.ckpt")["hyper_parameters"] == {"latent_dim": 4}
    for path in [*tmp_path.glob("cut*"), tmp_path / "hostile.ckpt", tmp_path / "missing.ckpt", tmp_path]:
        with pytest.raises(EarError):
            read_checkpoint(path)
    assert not target.exists()


def test_weights_that_are_not_the_described_model_are_refused(tmp_path: Path) -> None:
    values = {"latent_dim": 4, "image_size": 64, "resnet_version": "resnet18", "freeze_layers": 0}
    state = {f"model.{k}": v for k, v in EarVAE(5, 64, "resnet18").state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": values}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"mu_head.weight is .*5, 1024.*wanted .*4, 1024"):
        EarVAE.load_from_checkpoint(tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"from_the_future": 1}, "has 'from_the_future', which is no knob.*Another version of ear wrote this"),
        ({"latent_dim": "4"}, "latent_dim must be of type int.*Another version of ear wrote this"),
        ({"latent_dim": 2**40}, "latent-dim must be between 1 and 65536"),
        ({"latent_dim": 2**16}, "does not hold the teacher that it describes"),  # and no memory is taken for it
    ],
)
def test_a_checkpoint_that_describes_another_model_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    values = {"latent_dim": 4, "image_size": 64, "resnet_version": "resnet18", **change}
    state = {f"model.{k}": v for k, v in EarVAE(4, 64, "resnet18").state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": values}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=message):
        EarVAE.load_from_checkpoint(tmp_path / "x.ckpt")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    values = {"latent_dim": 4, "image_size": 64, "resnet_version": "resnet18"}
    state = {f"model.{k}": v for k, v in EarVAE(4, 64, "resnet18").state_dict().items()}
    state["model.encoder.mu_head.bias"][1] = torch.nan
    torch.save({"state_dict": state, "hyper_parameters": values}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"holds NaN or infinity in encoder.mu_head.bias"):
        EarVAE.load_from_checkpoint(tmp_path / "x.ckpt")
