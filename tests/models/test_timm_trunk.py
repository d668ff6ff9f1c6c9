"""Tests of `earcli/models/timm_trunk.py`."""

import sys

import pytest
import timm
import timm_models  # noqa: F401 (registers the tiny models)
import torch

from earcli.errors import ConfigError
from earcli.models.timm_trunk import TimmTrunk

TINY = ["timm:test_convnext", "timm:test_efficientnet", "timm:test_resnet", "timm:test_vit", "timm:tiny_dinov2",
        "timm:tiny_sam"]  # fmt: skip


@pytest.mark.parametrize("encoder", TINY)
def test_maps_have_strides_4_to_32_at_every_size(encoder: str) -> None:
    trunk = TimmTrunk(encoder, 64).eval()
    for height, width in ((64, 64), (96, 64)):
        with torch.no_grad():
            maps = trunk(torch.zeros(2, 3, height, width))
        shapes = [(2, c, height // s, width // s) for c, s in zip(trunk.channels, (4, 8, 16, 32), strict=True)]
        assert [tuple(x.shape) for x in maps] == shapes


def test_a_convolutional_network_gives_what_features_only_gives() -> None:
    torch.manual_seed(0)
    expected = timm.create_model("test_convnext", features_only=True).eval()
    trunk = TimmTrunk("timm:test_convnext", 64).eval()
    state = {
        name.replace("stem_", "stem.").replace("stages_", "stages."): tensor
        for name, tensor in expected.state_dict().items()
    }
    trunk.load_pretrained({name: x for name, x in state.items() if name in trunk.model.state_dict()})
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        for got, wanted in zip(trunk(images), expected(images), strict=True):
            assert torch.equal(got, wanted)


def test_the_middle_map_of_a_transformer_is_its_normalized_output() -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_vit", img_size=64).eval()
    trunk = TimmTrunk("timm:test_vit", 64, state=model.state_dict()).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        tokens = model.forward_features(images)[:, model.num_prefix_tokens :]
        torch.testing.assert_close(trunk(images)[2], tokens.mT.unflatten(2, (4, 4)))


def test_positions_are_resampled_from_the_size_of_the_weights() -> None:
    torch.manual_seed(0)
    large = timm.create_model("test_vit", img_size=160)
    trunk = TimmTrunk("timm:test_vit", 64, state=large.state_dict())
    assert large.pos_embed.shape[1] != trunk.model.pos_embed.shape[1] == 17
    assert torch.equal(trunk.model.blocks[0].attn.qkv.weight, large.blocks[0].attn.qkv.weight)


@pytest.mark.parametrize("classes", [0, 7])
def test_weights_with_another_classifier_or_none_fit(classes: int) -> None:
    state = timm.create_model("test_convnext", num_classes=classes).state_dict()
    trunk = TimmTrunk("timm:test_convnext", 64, state=state)
    assert torch.equal(trunk.model.stem[0].weight, state["stem.0.weight"])


@pytest.mark.parametrize("encoder", TINY)
def test_layers_have_every_parameter_of_the_model_once(encoder: str) -> None:
    trunk = TimmTrunk(encoder, 64)
    parameters = [id(p) for layer in trunk.parameter_layers() for p in layer]
    assert len(parameters) == len(set(parameters))
    assert set(parameters) == {id(p) for p in trunk.model.parameters()}
    assert trunk.parameter_layers()[0]


def test_statistics_are_those_that_the_weights_want() -> None:
    assert TimmTrunk("timm:tiny_dinov2", 64).statistics == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert TimmTrunk("timm:test_vit", 64).statistics == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("encoder", "size", "message"),
    [
        ("timm:convnext_tinny", 0, r"is no model of timm [\d.]+; the nearest are timm:convnext_tiny, "),
        ("timm:hf-hub:someone/model", 0, r"is no model of timm [\d.]+\.$|the nearest are"),
        ("timm:levit_128", 0, r"has maps of strides 16, 32, 64, expected strides 4, 8, 16 and 32, or a single one"),
        ("timm:test_vit", 72, "`encoder_size` must be a multiple of 16 for timm:test_vit, got 72"),
        ("timm:inception_v3", 0, "`encoder` timm:inception_v3 does not take images of 64 pixels"),
    ],
)
def test_what_cannot_be_a_trunk_is_refused(encoder: str, size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TimmTrunk(encoder, 64, size)


def test_without_timm_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"needs timm\. Install it: pip install 'earcli\[timm\]'"):
        TimmTrunk("timm:test_vit", 64)
