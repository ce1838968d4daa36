"""Vision-GPT2: a CNN whose feature map a GPT-2 decoder reads by cross-attention."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, GPT2Config, LogitsProcessorList, PreTrainedTokenizerFast

from benchmark.contracts import Dataset, Example, TrainingJob
from benchmark.errors import UserError
from benchmark.images import Geometry
from benchmark.schema import GenerationSettings, Report, Study

from ._checkpoints import finished
from ._data import Augmentation, Collate, ReportDataset, study_pictures
from ._sampling import SeededSampling
from ._text import report_text
from ._tokenizer import encode, load_tokenizer, pretrained_tokenizer, train_tokenizer
from ._training import TrainedModel, fit
from ._vision_gpt2 import VisionGPT2, VisionGPT2Config, create_backbone, load_strict, pixels, pretrained_gpt2


class Model(TrainedModel):
    """See `_vision_gpt2.VisionGPT2` for the network and `_training.fit` for how it is trained."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # The original's recipe. `decoder` names a GPT-2 (hub id or folder), which then sets layers, width, heads
        # and vocabulary.
        "paper": {
            "encoder": "densenet121",
            "encoder_args": {},
            "encoder_pretrained": True,
            "decoder": "gpt2",
            "layers": 12,
            "width": 768,
            "heads": 12,
            "initializer_range": 0.02,
            "vocabulary": 50257,
            "image_size": 384,
            "keep_aspect": False,
            "views": 1,
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
        },
        # From scratch in minutes on a laptop's processor.
        "tiny": {
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
            "views": 1,
            "position_code": True,
            "max_tokens": 256,
            "dropout": 0.0,
            "label_smoothing": 0.0,
            "word_loss": 15.0,
            "learning_rate": 2.5e-3,
            "weight_decay": 0.01,
            "warmup": 0.1,
            "clip": 1.0,
            "batch_size": 16,
            "accumulation": 1,
            "epochs": 5,
            "save_every": 100,
            "workers": 0,
            "degrees": 3.0,
            "shift": 0.03,
            "scale": 0.03,
            "contrast": 0.0,
        },
    }

    def __init__(self, model: VisionGPT2, tokenizer: PreTrainedTokenizerFast, preset: str):
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.preset = preset

    @classmethod
    def default_preset(cls, dataset: Dataset) -> str:
        return "tiny" if dataset.SCRATCH else "paper"

    @classmethod
    def train(cls, job: TrainingJob) -> None:
        """Train to a folder with model.safetensors, config.json, the tokenizer's files and history.csv.

        Raises UserError where pretrained parts are not at hand, no report or image can be used, the disk is too small
        or training diverges.
        """
        if finished(job.output):
            job.report(f"{job.output} holds a finished training.")
            return
        options = job.options
        examples = {name: _with_text(getattr(job, name), name, job) for name in ("train", "validation")}
        read = _open_images(job, [e.study for chosen in examples.values() for e in chosen])
        texts = {name: [report_text(e) for e in chosen] for name, chosen in examples.items()}
        if options["decoder"]:
            tokenizer = pretrained_tokenizer(options["decoder"])
        else:
            tokenizer = train_tokenizer(texts["train"], options["vocabulary"])
        model = _build(job, tokenizer)
        augmentation = Augmentation(*(options[key] for key in ("degrees", "shift", "scale", "contrast")))

        def dataset(name: str, augmentation: Augmentation) -> ReportDataset:
            return ReportDataset(
                studies=[e.study for e in examples[name]],
                token_ids=[encode(tokenizer, text, options["max_tokens"]) for text in texts[name]],
                read=read,
                views=options["views"],
                seed=job.seed,
                augmentation=augmentation,
            )

        fit(
            job,
            model,
            train=dataset("train", augmentation),
            validation=dataset("validation", Augmentation()),
            collate=Collate(tokenizer.pad_token_id, model.config.mean, model.config.std),
            save_more=tokenizer.save_pretrained,
            as_model=lambda network: cls(cast(VisionGPT2, network), tokenizer, job.preset),
        )

    @classmethod
    def load(cls, checkpoint: Path, device: str) -> Model:
        """Raises UserError where the folder holds another model's checkpoint, or a damaged one."""
        config = _read_config(checkpoint)
        if config.get("model_type") != VisionGPT2Config.model_type:
            raise UserError(
                f"{checkpoint} is a checkpoint of {config.get('model_type', 'another model')}, not of vgpt2."
            )
        tokenizer = load_tokenizer(checkpoint)
        model = load_strict(checkpoint)
        if len(tokenizer) > model.config.text_config.vocab_size:
            raise UserError(
                f"The tokenizer in {checkpoint} has more tokens than the model: they do not belong together."
            )
        model.to(torch.device(device))  # type: ignore[arg-type]
        return cls(model, tokenizer, str(config.get("preset", "")))

    def generate(self, studies: Sequence[Study], settings: GenerationSettings, seeds: Sequence[int]) -> list[Report]:
        """Greedy, beam or seeded sampling from each study's first view, or as many as the model was trained on.

        A view that cannot be read is left out, and is its study's error where there is no other. Texts end at the
        model's number of positions where that is smaller than `max_new_tokens`. Raises UserError for sampling with
        beams.
        """
        if settings.do_sample and settings.num_beams > 1:
            raise UserError("Sampling and beam search exclude each other: set num_beams to 1, or do_sample to false.")
        config = self.model.config
        read = Geometry(config.image_size, config.keep_aspect).read
        pictures = [study_pictures(study, config.views, read) for study in studies]
        reports = {i: Report("", error=p.errors[0]) for i, p in enumerate(pictures) if not p.images}
        seen = [i for i in range(len(studies)) if i not in reports]
        if seen:
            images = torch.stack([image for i in seen for image in pictures[i].images])
            generated = self._generate(
                pixels(images, config.mean, config.std),
                torch.tensor([len(pictures[i].images) for i in seen]),
                settings,
                [seeds[i] for i in seen],
            )
            reports |= dict(zip(seen, map(self._report, generated), strict=True))
        return [reports[i] for i in range(len(studies))]

    def _generate(
        self, images: Tensor, views: Tensor, settings: GenerationSettings, seeds: Sequence[int]
    ) -> list[list[int]]:
        """Token ids after the bos token, filled up with the end token to one length."""
        processors = LogitsProcessorList([SeededSampling(settings, seeds)] if settings.do_sample else [])
        sequences = self.model.generate(
            pixel_values=images.to(self.model.device),
            views=views.to(self.model.device),
            generation_config=GenerationConfig(
                max_new_tokens=min(settings.max_new_tokens, self.model.config.text_config.n_positions - 1),
                num_beams=settings.num_beams,
                do_sample=False,  # SeededSampling does it
                use_cache=True,
                repetition_penalty=settings.repetition_penalty,
                bos_token_id=self.tokenizer.bos_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
                pad_token_id=self.tokenizer.pad_token_id,
            ),
            logits_processor=processors,
        )
        return sequences[:, 1:].tolist()

    def _report(self, ids: list[int]) -> Report:
        end = self.tokenizer.eos_token_id
        truncated = end not in ids
        ids = ids if truncated else ids[: ids.index(end)]
        text = str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
        return Report(text.strip(), n_tokens=len(ids), truncated=truncated)

    def card(self) -> dict[str, Any]:
        config = self.model.config
        return {
            "parameters": self.model.num_parameters(),
            "preset": self.preset,
            "encoder": config.encoder,
            "decoder": f"GPT-2, {config.text_config.n_layer} layers of width {config.text_config.n_embd}",
            "vocabulary": config.text_config.vocab_size,
            "image_size": config.image_size,
            "keep_aspect": config.keep_aspect,
            "views": config.views,
        }


def _with_text(examples: Sequence[Example], name: str, job: TrainingJob) -> list[Example]:
    """The examples whose report has findings or impression; says how many have not."""
    chosen = [example for example in examples if report_text(example)]
    if not chosen:
        raise UserError(f"No report of the {name} split has findings or an impression.")
    if missing := len(examples) - len(chosen):
        job.report(f"Left out of {name}: {missing} studies whose report has neither findings nor impression.")
    return chosen


def _open_images(job: TrainingJob, studies: Sequence[Study]) -> Callable[[Path], np.ndarray]:
    """The job's way to the views of these studies, once it is sure that some can be read: a wrong folder should show
    at once.
    """
    options = job.options
    if options["views"] < 1:
        raise UserError(f"views is {options['views']}; a study's report needs at least one image.")
    geometry = Geometry(options["image_size"], options["keep_aspect"])
    first = [study_pictures(study, options["views"], geometry.read) for study in studies[:20]]
    if not any(pictures.images for pictures in first):
        raise UserError(
            f"No image of the first {len(first)} training studies can be read. The first: {first[0].errors[0]}"
        )
    return job.images([view.path for study in studies for view in study.views[: options["views"]]], geometry)


def _build(job: TrainingJob, tokenizer: PreTrainedTokenizerFast) -> VisionGPT2:
    """The untrained model; weights drawn from the job's seed where they are not pretrained."""
    options = job.options
    torch.manual_seed(job.seed)
    gpt2 = pretrained_gpt2(options["decoder"]) if options["decoder"] else None
    text_config = (
        gpt2.config
        if gpt2
        else GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=options["max_tokens"],
            n_embd=options["width"],
            n_layer=options["layers"],
            n_head=options["heads"],
            initializer_range=options["initializer_range"],
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            attn_pdrop=0.0,  # with it torch has no fused attention on a processor: a sixth of the time
        )
    )
    for part in ("embd_pdrop", "resid_pdrop"):
        setattr(text_config, part, options["dropout"])
    if options["max_tokens"] > text_config.n_positions:
        raise UserError(
            f"max_tokens is {options['max_tokens']}, but the decoder has {text_config.n_positions} positions."
        )
    model = VisionGPT2(
        VisionGPT2Config(
            encoder=options["encoder"],
            encoder_args=options["encoder_args"],
            image_size=options["image_size"],
            keep_aspect=options["keep_aspect"],
            views=options["views"],
            position_code=options["position_code"],
            label_smoothing=options["label_smoothing"],
            word_loss=options["word_loss"],
            text_config=text_config,
            preset=job.preset,
        )
    )
    if gpt2:
        model.gpt2.load_state_dict(gpt2.state_dict())
    if options["encoder_pretrained"]:
        backbone = create_backbone(
            options["encoder"], options["image_size"], pretrained=True, **options["encoder_args"]
        )
        model.enc.backbone.load_state_dict(backbone.state_dict())
    return model


def _read_config(checkpoint: Path) -> dict[str, Any]:
    try:
        config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{checkpoint} is no checkpoint of vgpt2: it has no config.json.") from None
    except ValueError:
        raise UserError(f"{checkpoint / 'config.json'} is damaged. Train vgpt2 again with --fresh.") from None
    return config if isinstance(config, dict) else {}
