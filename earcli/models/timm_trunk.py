"""Any model of timm as a trunk: convolutional networks by their stages, vision transformers by a simple pyramid."""

import difflib
import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earcli.config.fields import TIMM
from earcli.errors import ConfigError
from earcli.models.trunk import STRIDES, InputStatistics, Trunk


class TimmTrunk(Trunk):
    """A timm model without its head. Its maps are resized where their strides are not exactly 4, 8, 16 and 32.

    A model with stages of these strides gives their maps. One with a single stride, such as a vision transformer, gives
    its last map, out of which a simple pyramid is made (Li et al. 2022, arXiv:2203.16527): transposed convolutions for
    the finer maps, pooling for the coarsest.

    Args:
        encoder: `timm:` and the name of a model, with or without the tag of its weights.
        image_size: Side of the images in pixels.
        encoder_size: Side to which they are resized before the model; 0 is the nearest to `image_size` that its patches
            allow. Images of another size are resized in proportion where the model takes any size.
        state: Pretrained weights, as the authors of the model published them; None starts from random weights.
        pretrained: Whether timm loads the model's own weights, from its cache or the network.

    Raises:
        ConfigError: timm is missing or has no such model, or the model has no maps or takes no such size.
    """

    def __init__(
        self,
        encoder: str,
        image_size: int,
        encoder_size: int = 0,
        state: Mapping[str, Tensor] | None = None,
        *,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        plan = _plan(encoder, image_size, encoder_size)
        self.image_size, self.encoder_size = image_size, plan.size
        self.patch, self.single_stride, self.any_size = plan.patch, plan.single_stride, plan.any_size
        self.model, self.indices = plan.build(state, pretrained=pretrained)
        config = self.model.pretrained_cfg
        self.statistics = InputStatistics(tuple(config["mean"]), tuple(config["std"]))
        info = list(self.model.feature_info)
        self.modules_of_maps = [str(item["module"]) for item in info[: plan.indices[-1] + 1]]
        if self.single_stride:
            width = plan.channels[-1]
            self.channels = (width // 4, width // 2, width, width)
            self.finer = nn.ModuleList([_upsample(width, 4), _upsample(width, 2)])
        else:
            first, second, third, fourth = plan.channels
            self.channels = (first, second, third, fourth)

    def forward(self, images: Tensor) -> list[Tensor]:
        size = (images.shape[2], images.shape[3])
        inner = tuple(self._inner(side) for side in size)
        if inner != size:
            images = F.interpolate(images, inner, mode="bilinear", align_corners=False)
        maps = _maps(self.model, images, self.indices, normalize=self.single_stride)
        if self.single_stride:
            last = _resized(maps[-1], [side // 16 for side in size])
            maps = [*(finer(last) for finer in self.finer), last, F.max_pool2d(last, 2)]
        return [_resized(x, [side // s for side in size]) for x, s in zip(maps, STRIDES, strict=True)]

    def parameter_layers(self) -> list[list[nn.Parameter]]:
        from timm.models import group_parameters

        groups = group_parameters(self.model, self.model.group_matcher(coarse=not self.single_stride))
        parameters = dict(self.model.named_parameters())
        return [[parameters[name] for name in groups[layer]] for layer in sorted(groups)]

    def blocks(self) -> list[nn.Module]:
        return [self.model.get_submodule(name) for name in self.modules_of_maps]

    def load_pretrained(self, state: Mapping[str, Tensor]) -> None:
        self.model.load_state_dict(state)

    def _inner(self, side: int) -> int:
        """The side that the model sees for images with this one."""
        if not self.any_size:
            return self.encoder_size
        return max(round(side * self.encoder_size / self.image_size / self.patch), 1) * self.patch


def pretrained_facts(encoder: str) -> Any:
    """What timm knows of the pretrained weights of a model: a `timm.models.PretrainedCfg`, without weights if none."""
    from timm.models import PretrainedCfg, get_pretrained_cfg

    return get_pretrained_cfg(encoder.removeprefix(TIMM), allow_unregistered=True) or PretrainedCfg()


@dataclass(frozen=True)
class _Plan:
    """How to build a model and which maps to take, found on torch's meta device, which computes nothing.

    Attributes:
        name: timm's, without `timm:`.
        probe: The model without weights.
        options: Of `timm.create_model`.
        indices: Of the maps to take.
        channels: Of these maps.
        single_stride: Whether the model has maps of one stride only.
        patch: The divisor of the sides that it takes.
        size: The side of its input.
    """

    name: str
    probe: Any
    options: dict[str, Any]
    indices: list[int]
    channels: list[int]
    single_stride: bool
    patch: int
    size: int

    @property
    def any_size(self) -> bool:
        """Whether the model takes images of any size."""
        return not self.options or "dynamic_img_size" in self.options

    def build(self, state: Mapping[str, Tensor] | None, *, pretrained: bool) -> tuple[Any, list[int]]:
        """The model without what comes after the last map, and the indices of its maps."""
        import timm

        options = {**self.options, "pretrained": pretrained or state is not None}
        if state is not None:
            options["pretrained_cfg_overlay"] = {"state_dict": _with_classifier(state, self.probe)}
        # with the classifier, which goes next: without, timm would load weights of another model and say nothing
        model: Any = timm.create_model(self.name, **options)
        return model, list(model.prune_intermediate_layers(self.indices, prune_norm=False, prune_head=True))


def _plan(encoder: str, image_size: int, encoder_size: int) -> _Plan:
    """See `TimmTrunk` for arguments and errors."""
    timm, name = import_timm(encoder), encoder.removeprefix(TIMM)
    if not timm.is_model(name):
        nearest = difflib.get_close_matches(name, timm.list_models() + timm.list_pretrained(), n=3)
        remedy = f"; the nearest are {', '.join(TIMM + match for match in nearest)}." if nearest else "."
        raise ConfigError(f"`encoder` {encoder} is no model of timm {importlib.metadata.version('timm')}{remedy}")
    with torch.device("meta"):
        strides = _strides(timm.create_model(name))
    indices = _stages(strides, encoder)
    single_stride = len(indices) == 1
    patch = strides[-1] if single_stride else STRIDES[-1]
    size = encoder_size or max(round(image_size / patch), 1) * patch
    if size % patch:
        raise ConfigError(f"`encoder_size` must be a multiple of {patch} for {encoder}, got {size}.")
    for options in ({"img_size": size, "dynamic_img_size": True}, {"img_size": size}, {}):
        try:
            with torch.device("meta"):
                probe: Any = timm.create_model(name, **options).eval()
                maps = _maps(probe, torch.zeros(1, 3, size, size), indices, normalize=single_stride)
        except TypeError:  # a model that has no such option
            continue
        except (AssertionError, RuntimeError, ValueError) as error:
            line = " ".join(str(error).split())[:120]
            raise ConfigError(f"`encoder` {encoder} does not take images of {size} pixels ({line}).") from error
        break
    return _Plan(name, probe, options, indices, [x.shape[1] for x in maps], single_stride, patch, size)


def import_timm(encoder: str) -> Any:
    """The package timm.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigError(f"`encoder` {encoder} needs timm. Install it: pip install 'earcli[timm]'.") from error
    return timm


def _strides(model: Any) -> list[int]:
    """The strides of the maps that a model can give; empty if it gives none."""
    usable = hasattr(model, "forward_intermediates") and hasattr(model, "prune_intermediate_layers")
    return [int(item["reduction"]) for item in model.feature_info] if usable and hasattr(model, "feature_info") else []


def _stages(strides: Sequence[int], encoder: str) -> list[int]:
    """The indices of the maps to take: of strides 4, 8, 16 and 32, or the last one of a single stride."""
    if set(STRIDES) <= set(strides):
        return [len(strides) - 1 - strides[::-1].index(stride) for stride in STRIDES]
    if len(set(strides)) == 1:
        return [len(strides) - 1]
    found = f"maps of strides {', '.join(map(str, strides))}" if strides else "no feature maps"
    raise ConfigError(f"`encoder` {encoder} has {found}, expected strides 4, 8, 16 and 32, or a single one.")


def _maps(model: Any, images: Tensor, indices: Sequence[int], *, normalize: bool) -> list[Tensor]:
    """Feature maps (B, C, H, W) of a timm model; the last one through its last norm if `normalize`."""
    options = {"intermediates_only": True, "output_fmt": "NCHW", "norm": normalize}
    maps: list[Tensor] = model.forward_intermediates(images, indices=list(indices), **options)
    return maps


def _with_classifier(state: Mapping[str, Tensor], model: Any) -> dict[str, Tensor]:
    """A state dict whose classifier, if `model` has one, is of the model's size, whatever it was before."""
    names = model.pretrained_cfg.get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))
    expected = {
        n: torch.zeros(p.shape, device="cpu")
        for n, p in model.state_dict().items()
        if prefixes and n.startswith(prefixes)
    }
    return {**state, **expected}


def _upsample(width: int, factor: int) -> nn.Sequential:
    """Maps (B, width, h, w) to (B, width / factor, factor·h, factor·w)."""
    layers: list[nn.Module] = []
    for step in range(int(math.log2(factor))):
        channels = width >> step
        layers += [nn.GroupNorm(1, channels), nn.GELU()] if step else []
        layers.append(nn.ConvTranspose2d(channels, channels // 2, 2, 2))
    return nn.Sequential(*layers)


def _resized(maps: Tensor, sides: list[int]) -> Tensor:
    if list(maps.shape[2:]) == sides:
        return maps
    return F.interpolate(maps, sides, mode="bilinear", align_corners=False)
