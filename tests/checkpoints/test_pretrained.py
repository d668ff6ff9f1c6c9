"""Pretrained weights: loaded if they fit, else refused; never executed."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from earcli.checkpoints.pretrained import describe_license, read_cached_vgg, read_pretrained, read_trunk, read_vgg
from earcli.config.teacher import TrainConfig
from earcli.errors import WeightsError
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


def read(encoder: str, weights: str) -> dict[str, torch.Tensor] | None:
    return read_trunk(TrainConfig(encoder=encoder, weights=weights))


def test_a_trunk_is_read_from_pth_and_safetensors_alike(resnet_file: Path, tmp_path: Path) -> None:
    state = torch.load(resnet_file, weights_only=True)
    save_file(state, tmp_path / "resnet18.safetensors")
    first = read("resnet18", str(resnet_file))
    second = read("resnet18", str(tmp_path / "resnet18.safetensors"))
    assert first is not None
    assert second is not None
    assert first.keys() == second.keys() == {k for k in state if not k.startswith("fc.")}
    assert all(torch.equal(first[k], second[k]) for k in first)


def test_old_files_without_batch_counters_are_accepted(resnet_file: Path, tmp_path: Path) -> None:
    state = torch.load(resnet_file, weights_only=True)
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "old.pth")
    trunk = read("resnet18", str(tmp_path / "old.pth"))
    assert trunk is not None
    EarVAE(4, 64, "resnet18").encoder.load_backbone(trunk)


def test_none_is_none() -> None:
    assert read("resnet50", "none") is None
    assert read_vgg("none") is None


def test_a_cached_vgg_needs_no_download(tmp_path: Path) -> None:
    assert read_cached_vgg("imagenet") is None
    assert read_cached_vgg("none") is None
    assert read_cached_vgg(str(tmp_path / "moved.pth")) is None
    cached = Path(torch.hub.get_dir()) / "checkpoints" / "vgg16-397923af.pth"
    cached.parent.mkdir(parents=True)
    torch.save({"features.0.bias": torch.ones(3)}, cached)
    for source in ("imagenet", "none"):
        vgg = read_cached_vgg(source)
        assert vgg is not None
        assert vgg["features.0.bias"].tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("call", "given", "file"),
    [
        (lambda: read("resnet50", "pretrained"), "`weights` pretrained", "resnet50-11ad3fa6.pth"),
        (lambda: read("resnet50", "imagenet"), "`weights` imagenet", "resnet50-11ad3fa6.pth"),
        (lambda: read_vgg("imagenet"), "`perceptual_weights` imagenet", "vgg16-397923af.pth"),
    ],
)
def test_without_network_the_error_names_file_address_and_path(
    call: Callable[[], object], given: str, file: str
) -> None:
    with pytest.raises(WeightsError) as caught:
        call()
    message = str(caught.value)
    assert f"{given}: {file} is not on this machine and cannot be downloaded (" in message
    assert f"https://download.pytorch.org/models/{file}" in message
    assert str(Path(torch.hub.get_dir()) / "checkpoints" / file) in message
    assert f"or give {given.split()[0]} none" in message


def test_a_file_in_the_cache_of_torch_needs_no_network(resnet_file: Path) -> None:
    url = torchvision.models.get_model_weights("resnet18").DEFAULT.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    path.parent.mkdir(parents=True)
    path.write_bytes(resnet_file.read_bytes())
    assert read("resnet18", "imagenet") is not None


def test_weights_that_do_not_fit_say_how(resnet_file: Path) -> None:
    with pytest.raises(WeightsError, match=r"does not fit resnet34: .* weights are missing"):
        read("resnet34", str(resnet_file))
    with pytest.raises(
        WeightsError, match=r"not those of a VGG16: features.0.weight is missing, expected \(64, 3, 3, 3\)"
    ):
        PerceptualLoss(read_pretrained("perceptual_weights", str(resnet_file), ""))


def test_a_file_that_is_missing_damaged_or_hostile_is_refused(resnet_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "pwned"
    torch.save({"conv1.weight": Touch(target)}, tmp_path / "hostile.pth")
    (tmp_path / "cut.pth").write_bytes(resnet_file.read_bytes()[:1000])
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 40)
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("missing.pth", "hostile.pth", "cut.pth", "cut.safetensors", "list.pth"):
        with pytest.raises(WeightsError):
            read("resnet18", str(tmp_path / name))
    assert not target.exists()


def test_weights_of_a_timm_model_come_from_a_file_of_either_format(tmp_path: Path) -> None:
    state = timm.create_model("test_vit", num_classes=3).state_dict()
    torch.save(state, tmp_path / "vit.pth")
    save_file(state, tmp_path / "vit.safetensors")
    config = TrainConfig(encoder="timm:test_vit", image_size=64, weights=str(tmp_path / "vit.pth"))
    model = EarVAE.untrained(config)
    for name in ("vit.pth", "vit.safetensors"):
        trunk = read_trunk(replace(config, weights=str(tmp_path / name)))
        assert trunk is not None
        model.encoder.load_backbone(trunk)
        assert torch.equal(model.encoder.state_dict()["trunk.model.norm.bias"], state["norm.bias"])
    with pytest.raises(WeightsError, match=r"vit\.pth does not fit timm:test_convnext \("):
        read("timm:test_convnext", str(tmp_path / "vit.pth"))
    with pytest.raises(WeightsError, match=r"nowhere\.pth: no such file"):
        read("timm:test_convnext", str(tmp_path / "nowhere.pth"))


@pytest.mark.parametrize(
    ("encoder", "remedy"),
    [
        (
            "timm:vit_small_patch14_dinov2.lvd142m",
            "Download https://huggingface.co/timm/vit_small_patch14_dinov2.lvd142m",
        ),
        (
            "timm:mobilenetv3_small_050.lamb_in1k",
            "Download https://huggingface.co/timm/mobilenetv3_small_050.lamb_in1k",
        ),
        ("timm:convnext_atto_rms", "timm has none for it: give the tag of weights that it has"),
    ],
)
def test_without_network_the_place_of_timm_weights_is_named(
    encoder: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        read(encoder, "pretrained")
    assert f"those of {encoder} are not on this machine and cannot be downloaded (" in str(caught.value)
    assert remedy in str(caught.value)
    assert str(caught.value).endswith("or give `weights` a file or none.")


def test_the_license_of_pretrained_weights_is_named() -> None:
    line = describe_license("timm:convnext_tiny.dinov3_lvd1689m", "pretrained")
    assert line is not None
    assert line.endswith("dinov3_lvd1689m: dinov3-license, https://huggingface.co/timm/convnext_tiny.dinov3_lvd1689m")
    assert describe_license("resnet50", "imagenet") is not None
    assert describe_license("resnet50", "none") is describe_license("resnet50", "weights.pth") is None
