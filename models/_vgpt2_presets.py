"""Hyper-parameters of Vision-GPT2 by preset, and what is known of them without building the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._pretrained_files import files

# The original's recipe. `decoder` names a GPT-2 (hub id or folder), which then sets layers, width, heads, vocabulary.
PAPER: Mapping[str, Any] = {
    "encoder": "densenet121",
    "encoder_args": {},
    "encoder_pretrained": True,
    "freeze_encoder": False,
    "decoder": "gpt2",
    # All of the pretrained decoder; its cross-attention is new and always learns.
    "freeze_decoder": False,
    # Of the adapters that learn in place of the decoder's own layers; 0: none.
    "lora_rank": 0,
    "layers": 12,
    "width": 768,
    "heads": 12,
    "initializer_range": 0.02,
    "vocabulary": 50257,
    "image_size": 384,
    "keep_aspect": False,
    "views": 1,
    # Whether the decoder reads the study's indication before it writes.
    "indication": False,
    "position_code": False,
    "max_tokens": 256,
    "dropout": 0.1,
    "label_smoothing": 0.1,
    "word_loss": 0.0,
    "learning_rate": 8e-5,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "clip": 1.0,
    "batch_size": 8,
    "accumulation": 4,
    "epochs": 4,
    "save_every": 500,
    "workers": 4,
    "degrees": 5.0,
    "shift": 0.03,
    "scale": 0.05,
    "contrast": 0.1,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": PAPER,
    "resnet50": {**PAPER, "encoder": "resnet50.a1_in1k"},
    "convnext": {**PAPER, "encoder": "convnext_base.fb_in22k_ft_in1k_384"},
    "swin": {**PAPER, "encoder": "swin_base_patch4_window12_384.ms_in22k_ft_in1k"},
    "vit": {**PAPER, "encoder": "vit_base_patch16_384.augreg_in21k_ft_in1k"},
    "distilgpt2": {**PAPER, "decoder": "distilgpt2", "layers": 6},
    "gpt2-medium": {**PAPER, "decoder": "gpt2-medium", "layers": 24, "width": 1024, "heads": 16},
    # The bridge alone learns: projection and cross-attention.
    "frozen": {**PAPER, "freeze_encoder": True, "freeze_decoder": True},
    "lora": {**PAPER, "lora_rank": 8, "learning_rate": 2e-4},
    # From scratch in minutes on a laptop's processor.
    "tiny": {
        **PAPER,
        "encoder": "resnet10t",
        # Narrower than timm's, and with a map of 6 × 6 positions instead of 3 × 3.
        "encoder_args": {"stem_width": 16, "channels": [32, 64, 128, 256], "output_stride": 16},
        "encoder_pretrained": False,
        "decoder": "",
        "layers": 2,
        "width": 192,
        "heads": 6,
        "initializer_range": 0.05,
        "vocabulary": 1000,
        "image_size": 96,
        "keep_aspect": True,
        "position_code": True,
        "dropout": 0.0,
        "label_smoothing": 0.0,
        "word_loss": 15.0,
        "learning_rate": 2.5e-3,
        "batch_size": 16,
        "accumulation": 1,
        "epochs": 5,
        "save_every": 100,
        "workers": 0,
        "degrees": 3.0,
        "scale": 0.03,
        "contrast": 0.0,
    },
}

PARAMETERS: Mapping[str, int] = {
    "paper": 160_547_712,
    "resnet50": 177_888_320,
    "convnext": 241_160_320,
    "swin": 240_472_440,
    "vit": 239_487_744,
    "distilgpt2": 103_837_056,
    "gpt2-medium": 463_637_376,
    "frozen": 160_547_712,
    "lora": 161_727_360,
}

WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "paper": ("gpt2", "timm/densenet121.ra_in1k"),
    "resnet50": ("gpt2", "timm/resnet50.a1_in1k"),
    "convnext": ("gpt2", "timm/convnext_base.fb_in22k_ft_in1k_384"),
    "swin": ("gpt2", "timm/swin_base_patch4_window12_384.ms_in22k_ft_in1k"),
    "vit": ("gpt2", "timm/vit_base_patch16_384.augreg_in21k_ft_in1k"),
    "distilgpt2": ("distilgpt2", "timm/densenet121.ra_in1k"),
    "gpt2-medium": ("gpt2-medium", "timm/densenet121.ra_in1k"),
    "frozen": ("gpt2", "timm/densenet121.ra_in1k"),
    "lora": ("gpt2", "timm/densenet121.ra_in1k"),
}

PRETRAINED: Mapping[str, tuple[str, ...]] = files(WEIGHTS)
