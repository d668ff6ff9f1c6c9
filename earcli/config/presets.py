"""The presets of `earcli.train`: the values that differ from the defaults."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "full": {},
    "small": {
        "image_size": 64,
        "latent_dim": 64,
        "skeleton_dim": 448,
        "encoder": "resnet18",
        "weights": "none",
        "perceptual_weights": "none",
        "batch_size": 32,
        "lr": 7e-4,
        "epochs": 28,
        "kl_anneal_threshold_psnr": 22.0,
        "kl_anneal_epochs": 5,
        "ema_decay": 0.999,
    },
    "medium": {
        "latent_dim": 128,
        "skeleton_dim": 512,
        "encoder": "resnet18",
        "weights": "none",
        "perceptual_weights": "none",
        "batch_size": 16,
        "lr": 5e-4,
        "epochs": 8,
        "kl_anneal_threshold_psnr": 22.0,
        "kl_anneal_epochs": 2,
        "ema_decay": 0.999,
    },
    "tiny": {
        "image_size": 64,
        "latent_dim": 64,
        "skeleton_dim": 64,
        "encoder": "resnet18",
        "weights": "none",
        "perceptual_weights": "none",
        "batch_size": 16,
        "lr": 1e-3,
        "epochs": 30,
        "augment": "none",  # a demo is too short to benefit
        "kl_anneal_threshold_psnr": 16.0,
        "kl_anneal_epochs": 3,
    },
}
