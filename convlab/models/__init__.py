"""Redes: las mini del curso, EfficientNet-Lite0 y cualquier ConvNet de torchvision o timm."""

from convlab.models.registry import (
    ModelInfo,
    list_models,
    load_checkpoints,
    load_model,
    model_card,
    model_info,
)

__all__ = ["ModelInfo", "list_models", "load_checkpoints", "load_model", "model_card", "model_info"]
