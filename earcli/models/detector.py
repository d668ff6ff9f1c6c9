"""The detector: box and landmarks of the one ear on an image, built on a teacher."""

from pathlib import Path
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from earcli.config.detector import FinetuneConfig
from earcli.models.blocks import conv3x3
from earcli.models.decoder import EarDecoder
from earcli.models.encoder import EarEncoder
from earcli.models.laterality import Laterality
from earcli.models.trunk import STRIDES
from earcli.models.vae import EarVAE

BOX_SIDES = 4


class Detection(NamedTuple):
    """The predictions for a batch of images. Unpacks as `boxes, keypoints`, both in fp32.

    Coordinates are fractions of the image's width and height; 0 is the left or upper border.

    Attributes:
        boxes: (B, 5): x and y of the upper left corner, width, height, and the logit that the image shows an ear.
        keypoints: (B, K, 3): x, y, and the logit that the point is visible.
    """

    boxes: Tensor
    keypoints: Tensor


class EarDetector(nn.Module):
    """Detects one ear on images (B, 3, S, S) in [-1, 1]; S is a multiple of 32 and may differ from the teacher's.

    The teacher serves as an hourglass: its encoder is the downsampling path; its decoder, whose input is the posterior
    mean, is the upsampling path. Their maps are merged from coarse to fine (as in Lin et al. 2017, arXiv:1612.03144)
    into an S/2 heat map for each point and each side of the box. A coordinate is the expected value of its heat map
    (Nibali et al. 2018, arXiv:1801.07372).

    Args:
        pretrained_encoder: Becomes a part of the detector.
        pretrained_decoder: Of the same teacher, likewise; None creates a new one with random weights.
        num_landmarks: K; 0 predicts boxes only.
        freeze_encoder: Freezes the given encoder and decoder, with batch norms in eval mode.
        laterality: Of the same teacher: right ears are mirrored, and the predictions back. None mirrors none.

    >>> teacher = EarVAE(latent_dim=8, image_size=64, encoder="resnet18")
    >>> detector = EarDetector(teacher.encoder, teacher.decoder, num_landmarks=3).eval()
    >>> [tuple(x.shape) for x in detector(torch.zeros(2, 3, 96, 96))]
    [(2, 5), (2, 3, 3)]
    """

    def __init__(
        self,
        pretrained_encoder: EarEncoder,
        pretrained_decoder: EarDecoder | None = None,
        num_landmarks: int = 17,
        freeze_encoder: bool = False,
        laterality: Laterality | None = None,
    ) -> None:
        super().__init__()
        self.laterality = laterality
        self.encoder = encoder = pretrained_encoder
        encoder.freeze(0)
        self.decoder = pretrained_decoder or EarDecoder(encoder.mu_head.out_features, encoder.image_size, encoder.width)
        self.num_landmarks = num_landmarks
        width = encoder.width // 4
        self.from_encoder = nn.ModuleList([_project(channels, width) for channels in encoder.channels])
        self.from_decoder = nn.ModuleList([_project(channels, width) for channels in self.decoder.channels[:-1]])
        self.smooth = nn.Sequential(*_smooth(width), *_smooth(width))
        self.heat = nn.Conv2d(width, num_landmarks + BOX_SIDES, 1)
        self.visibility = nn.Linear(width, 1)
        self.confidence = nn.Linear(encoder.channels[-1], 1)
        nn.init.normal_(self.heat.weight, std=0.01)  # flat heat maps: all coordinates start in the middle
        for unused in (encoder.logvar_head, self.decoder.stages[-1], self.decoder.to_rgb, self.decoder.sketch):
            unused.requires_grad_(False)
        pretrained = (self.encoder, self.decoder) if pretrained_decoder is not None else (self.encoder,)
        self.frozen = pretrained if freeze_encoder else ()
        for module in self.frozen:
            module.requires_grad_(False)
        self.train()  # a loaded teacher is in eval mode

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """The parameters that a teacher initializes."""
        return [*self.encoder.parameters(), *self.decoder.parameters()]

    def forward(self, images: Tensor) -> Detection:
        if self.laterality is None:
            return self._detect(images)
        left, logits = self.laterality.to_left(images)
        return _mirror_where(logits > 0, self._detect(left))

    def _detect(self, images: Tensor) -> Detection:
        features = self.encoder.extract_features(images)
        x = self._merge(features, images.shape[2] // 2)  # (B, C, S/2, S/2)
        heat = self.heat(x).float().flatten(2).softmax(2)  # (B, K + 4, S²/4)
        coordinates = _expected_coordinates(heat.unflatten(2, x.shape[2:]))  # (B, K + 4, 2)
        points, sides = coordinates[:, : self.num_landmarks], coordinates[:, self.num_landmarks :]
        left, top, right, bottom = sides[:, 0, 0], sides[:, 1, 1], sides[:, 2, 0], sides[:, 3, 1]
        confidence = self.confidence(features["stride32"].mean((2, 3))).float()[:, 0]
        boxes = torch.stack([left, top, right - left, bottom - top, confidence], 1)
        # features pooled around each point
        pooled = heat[:, : self.num_landmarks] @ x.float().flatten(2).transpose(1, 2)  # (B, K, C)
        return Detection(boxes, torch.cat([points, self.visibility(pooled).float()], 2))

    def _merge(self, features: dict[str, Tensor], side: int) -> Tensor:
        """Merges encoder and decoder maps into one of the given side."""
        down = [project(features[f"stride{s}"]) for s, project in zip(STRIDES, self.from_encoder, strict=True)]
        maps = self.decoder.maps(self.encoder.mean(features), len(self.from_decoder))
        up = [project(m) for m, project in zip(maps, self.from_decoder, strict=True)]
        x = F.relu(down[-1])
        for level, upsampled in enumerate(up):
            size = (side >> (len(up) - 1 - level),) * 2
            x = _resize(x, size) + _resize(upsampled, size)
            if level < len(down) - 1:
                x = x + down[-2 - level]
            x = F.relu(x)
        result: Tensor = self.smooth(x)
        return result

    @classmethod
    def from_vae_checkpoint(
        cls, checkpoint_path: str | Path, num_landmarks: int = 17, freeze_encoder: bool = False
    ) -> Self:
        """A detector with untrained heads on a trained teacher.

        Raises:
            CheckpointError: See `EarVAE.load_from_checkpoint`.
        """
        teacher = EarVAE.load_from_checkpoint(checkpoint_path)
        return cls(teacher.encoder, teacher.decoder, num_landmarks, freeze_encoder, teacher.laterality)

    @classmethod
    def load_from_checkpoint(cls, path: str | Path) -> "EarDetector":
        """The detector of a checkpoint that `ear finetune` wrote, in eval mode, on the CPU.

        Raises:
            CheckpointError: The file is missing, damaged, of another version or kind, or would run code.
        """
        from earcli.checkpoints.checkpoint import Checkpoint  # which imports this module

        return Checkpoint.open(path, "detector").detector()

    @classmethod
    def untrained(cls, config: FinetuneConfig) -> Self:
        """The detector that a settled configuration describes, with random weights."""
        teacher = EarVAE.untrained(config.teacher_config)
        return cls(teacher.encoder, teacher.decoder, config.num_landmarks, config.freeze_encoder, teacher.laterality)


def _mirror_where(mirrored: Tensor, detection: Detection) -> Detection:
    """The detections on the mirror images where `mirrored` (B,) is true."""
    boxes, points = detection
    right_edge = boxes[:, 0] + boxes[:, 2]
    flipped_boxes = torch.cat([(1 - right_edge)[:, None], boxes[:, 1:]], 1)
    flipped_points = torch.cat([1 - points[..., :1], points[..., 1:]], 2)
    return Detection(
        torch.where(mirrored[:, None], flipped_boxes, boxes),
        torch.where(mirrored[:, None, None], flipped_points, points),
    )


def _project(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))


def _smooth(width: int) -> tuple[nn.Module, ...]:
    return conv3x3(width, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True)


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if maps.shape[2:] == size:
        return maps
    return F.interpolate(maps, size, mode="bilinear", align_corners=False)


def _expected_coordinates(heat: Tensor) -> Tensor:
    """The expected x and y of each distribution (B, K, H, W), as fractions of width and height; (B, K, 2)."""
    height, width = heat.shape[2:]
    x = (torch.arange(width, device=heat.device) + 0.5) / width
    y = (torch.arange(height, device=heat.device) + 0.5) / height
    # no matrix product, which autocast would round to 16 bits
    return torch.stack([(heat.sum(2) * x).sum(2), (heat.sum(3) * y).sum(2)], 2)
