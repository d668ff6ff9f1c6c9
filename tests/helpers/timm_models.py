"""DINOv2 and SAM at a tiny width and depth, as timm models. Importing this registers them."""

from typing import Any

from timm.models import register_model
from timm.models.vision_transformer import vit_small_patch14_dinov2
from timm.models.vision_transformer_sam import samvit_base_patch16

TINY = {"embed_dim": 32, "depth": 2, "num_heads": 2}


@register_model
def tiny_dinov2(pretrained: bool = False, **options: Any) -> Any:
    return vit_small_patch14_dinov2(pretrained, **{**TINY, **options})


@register_model
def tiny_sam(pretrained: bool = False, **options: Any) -> Any:
    sizes = {**TINY, "global_attn_indexes": (1,), "window_size": 3, "neck_chans": 24, "img_size": 128}
    return samvit_base_patch16(pretrained, **{**sizes, **options})
