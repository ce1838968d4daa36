"""Vision-GPT2: a CNN whose feature map a GPT-2 decoder reads by cross-attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, GPT2Config, LogitsProcessorList, PreTrainedTokenizerFast

from benchmark.contracts import Dataset, Looks, OnText, TrainingJob
from benchmark.errors import UserError
from benchmark.images import Geometry
from benchmark.schema import PRECISIONS, GenerationSettings, Report, Study

from ._adapters import merge_adapters
from ._checkpoints import finished, read_config
from ._data import Collate, Pictures, study_pictures
from ._decoding import Decoder, Writer
from ._end_to_end import lay
from ._examples import open_images, report_datasets, with_text
from ._looks import features, first_view, looks
from ._options import check
from ._original import PROMPT, from_original
from ._sampling import Listening, SeededSampling
from ._text import indication_text, report_text
from ._tokenizer import beginning, encode, load_tokenizer, pretrained_tokenizer, train_tokenizer
from ._training import TrainedModel, fit
from ._vgpt2_presets import PARAMETERS, PRESETS, PRETRAINED, WEIGHTS
from ._vision_gpt2 import (
    VisionGPT2,
    VisionGPT2Config,
    feature_map,
    load_strict,
    pixels,
    pretrained_gpt2,
    quiet,
    take_pretrained,
)
from ._writing import refuse_sampled_beams, to_report, write_reports

__all__ = ["Model", "from_original"]

INDICATION_TOKENS = 64
"""Of a study's indication, at most."""


class Model(TrainedModel):
    """See `_vision_gpt2.VisionGPT2` for the network and `_training.fit` for how it is trained."""

    PAPER = (
        "none of its own; GPT-2: Radford et al. 2019, Language Models are Unsupervised Multitask Learners; "
        "DenseNet: Huang et al. 2017, arXiv:1608.06993"
    )
    LICENCE = "MIT; weights of GPT-2: MIT, of timm's encoders: Apache-2.0 (Swin: MIT)"
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    PARAMETERS: ClassVar[Mapping[str, int]] = PARAMETERS
    WEIGHTS: ClassVar[Mapping[str, tuple[str, ...]]] = WEIGHTS
    PRETRAINED: ClassVar[Mapping[str, tuple[str, ...]]] = PRETRAINED
    RELEASED = "best_vgpt2.pt, the original's weights"
    TAKES_PROMPT = True
    PRECISIONS = PRECISIONS
    DECODINGS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "original": {
            "do_sample": True,
            "temperature": 0.7,
            "top_p": 0.9,
            "top_k": 50,
            "repetition_penalty": 1.2,
            "prompt": PROMPT,
        }
    }

    def __init__(self, model: VisionGPT2, tokenizer: PreTrainedTokenizerFast, preset: str):
        self.model = model.eval()
        self._laid_out: tuple[tuple[str, bool], Writer] | None = None
        self.tokenizer = tokenizer
        self.preset = preset

    @classmethod
    def default_preset(cls, dataset: Dataset) -> str:
        return "tiny" if dataset.SCRATCH else "paper"

    @classmethod
    def train(cls, job: TrainingJob) -> None:
        """Train to a folder with model.safetensors, config.json, the tokenizer's files and history.csv.

        Raises UserError where pretrained parts are not at hand, no report or image can be used, an option has no such
        value, the disk is too small or training diverges.
        """
        if finished(job.output):
            job.report(f"{job.output} holds a finished training.")
            return
        options = job.options
        check(options)
        examples = {name: with_text(getattr(job, name), name, job) for name in ("train", "validation")}
        geometry = Geometry(options["image_size"], options["keep_aspect"])
        read = open_images(job, [e.study for chosen in examples.values() for e in chosen], geometry, options["views"])
        if options["decoder"]:
            tokenizer = pretrained_tokenizer(options["decoder"])
        else:
            tokenizer = train_tokenizer(list(map(report_text, examples["train"])), options["vocabulary"])
        model = _build(job, tokenizer)
        if torch.device(job.device).type == "cpu":
            lay(model.gpt2)
        before = {
            name: [_beginning(tokenizer, model.config, example.study) for example in chosen]
            for name, chosen in examples.items()
        }
        token_ids = {
            name: [
                encode(tokenizer, report_text(example), options["max_tokens"], ids)
                for example, ids in zip(chosen, before[name], strict=True)
            ]
            for name, chosen in examples.items()
        }
        given = {name: list(map(len, begun)) for name, begun in before.items()}
        data = report_datasets(job, examples, read, token_ids, given)
        fit(
            job,
            model,
            train=data["train"],
            validation=data["validation"],
            collate=Collate(tokenizer.pad_token_id, model.config.mean, model.config.std),
            save_more=tokenizer.save_pretrained,
            as_model=lambda network: cls(cast(VisionGPT2, network), tokenizer, job.preset),
        )

    @classmethod
    def load(cls, checkpoint: Path, device: str) -> Model:
        """Raises UserError where the folder holds another model's checkpoint, or a damaged one."""
        read_config(checkpoint, "vgpt2", VisionGPT2Config.model_type)
        tokenizer = load_tokenizer(checkpoint)
        model = load_strict(checkpoint)
        if model.config.lora_rank:
            merge_adapters(model.gpt2)
            model.config.lora_rank = 0
        return cls._of(model, tokenizer, device, f"The tokenizer in {checkpoint}")

    @classmethod
    def load_released(cls, path: Path, device: str, words: str = "") -> Model:
        """The model of a `best_vgpt2.pt` with GPT-2's tokenizer, from the hub's cache or `words`, a folder or hub id.

        Raises UserError as `_original.from_original` does, or where the tokenizer is not to be had.
        """
        model = from_original(path)
        name = words or "gpt2"
        try:
            tokenizer = pretrained_tokenizer(name)
        except UserError as error:
            raise UserError(f"{error} Or name a folder that holds it with --tokenizer.") from error
        return cls._of(model, tokenizer, device, f"The tokenizer of {name}")

    @classmethod
    def _of(cls, model: VisionGPT2, tokenizer: PreTrainedTokenizerFast, device: str, named: str) -> Model:
        if len(tokenizer) > model.config.text_config.vocab_size:
            raise UserError(f"{named} has more tokens than the model: they do not belong together.")
        model.to(torch.device(device))  # type: ignore[arg-type]
        return cls(model, tokenizer, str(getattr(model.config, "preset", "")))

    def save_checkpoint(self, folder: Path) -> None:
        with quiet():
            self.tokenizer.save_pretrained(folder)
            self.model.save_pretrained(folder)

    def prepare(self, study: Study) -> Tensor:
        """Its images as the encoder takes them: float (views, 3, S, S), normalised. Raises UserError without one."""
        pictures = study_pictures(study, self.model.config.views, self._read)
        if not pictures.images:
            raise UserError(pictures.errors[0])
        return self._pixels(pictures.images)

    def generate(
        self,
        studies: Sequence[Study],
        settings: GenerationSettings,
        seeds: Sequence[int],
        on_text: OnText | None = None,
    ) -> list[Report]:
        """Greedy, beam or seeded sampling from each study's first view, or as many as the model was trained on.

        The report begins with the settings' prompt, or the checkpoint's own. A view that cannot be read is left out and
        named; it is its study's error where there is no other. Texts end at the model's number of positions where that
        is smaller than `max_new_tokens`. Raises UserError for sampling with beams.
        """
        refuse_sampled_beams(settings)
        config, tokenizer = self.model.config, self.tokenizer
        prompt = tokenizer.encode(settings.prompt.strip() or config.prompt, add_special_tokens=False)

        def write(seen: Sequence[int], pictures: Sequence[Pictures]) -> list[Report]:
            given = [[*_beginning(tokenizer, config, studies[i]), *prompt] for i in seen]
            before = max(map(len, given))
            generated = self._generate(
                self._pixels([image for each in pictures for image in each.images]),
                torch.tensor([len(each.images) for each in pictures]),
                given,
                settings,
                [seeds[i] for i in seen],
                [Listening(lambda ids: on_text(to_report(tokenizer, ids[before:], prompt).text))] if on_text else [],
            )
            return [to_report(tokenizer, ids, prompt) for ids in generated]

        return write_reports(studies, config.views, self._read, write)

    def looks(self, study: Study, text: str) -> Looks | None:
        """By cross-attention, the mean over layers and heads."""
        model, config = self.model, self.model.config
        images = first_view(study, config).to(model.device)

        def attention(ids: Tensor) -> Tensor:
            chosen = model.gpt2.config._attn_implementation
            model.gpt2.set_attn_implementation("eager")  # fused attention does not give its weights
            try:
                output = model(pixel_values=images, input_ids=ids.to(model.device), output_attentions=True)
            finally:
                model.gpt2.set_attn_implementation(chosen)
            return torch.stack(output.cross_attentions).mean(dim=(0, 1, 2))

        before = _beginning(self.tokenizer, config, study)
        most = config.text_config.n_positions
        return looks(self.tokenizer, text, before, most, attention, model.enc.backbone, config.keep_aspect)

    def features(self, studies: Sequence[Study]) -> np.ndarray:
        model = self.model

        def encode(images: Tensor) -> Tensor:
            return feature_map(model.enc.backbone, images.to(model.device)).flatten(2).transpose(1, 2)

        return features(studies, model.config, encode)

    def _read(self, path: Path) -> np.ndarray:
        return Geometry(self.model.config.image_size, self.model.config.keep_aspect).read(path)

    def _pixels(self, images: Sequence[Tensor]) -> Tensor:
        return pixels(torch.stack(list(images)), self.model.config.mean, self.model.config.std)

    def _generate(
        self,
        images: Tensor,
        views: Tensor,
        given: Sequence[list[int]],
        settings: GenerationSettings,
        seeds: Sequence[int],
        listening: list[Listening],
    ) -> list[list[int]]:
        """Token ids after what is `given` of each study, filled up with the end token to one length."""
        length = max(map(len, given))
        room = self.model.config.text_config.n_positions - length
        if room < 1:
            raise UserError(f"The prompt fills all of the model's {length + room} positions; give a shorter one.")
        if settings.max_new_tokens > room:
            settings = replace(settings, max_new_tokens=room)
        if settings.num_beams == 1 and Decoder.fits(self.model.gpt2):
            end = self.tokenizer.eos_token_id
            return self._writer(settings).write(images, views, given, settings, seeds, end, listening).tolist()
        return self._generate_by_transformers(images, views, given, settings, seeds, listening)

    def _writer(self, settings: GenerationSettings) -> Writer:
        """The network laid out for these settings; kept for the next batch."""
        wanted = (settings.precision, settings.batch_size == 1)
        if self._laid_out is None or self._laid_out[0] != wanted:
            self._laid_out = (wanted, Writer(self.model, settings.precision, settings.batch_size))
        return self._laid_out[1]

    def _generate_by_transformers(
        self,
        images: Tensor,
        views: Tensor,
        given: Sequence[list[int]],
        settings: GenerationSettings,
        seeds: Sequence[int],
        listening: list[Listening],
    ) -> list[list[int]]:
        """As `_generate`: what `Writer` does not do, beams above all."""
        device = self.model.device
        if settings.precision == "int8":
            raise UserError("int8 is for greedy decoding and sampling; with beams take --precision bf16 or fp32.")
        length = max(map(len, given))
        pad = self.tokenizer.pad_token_id
        inputs = torch.tensor([[pad] * (length - len(ids)) + ids for ids in given])
        there = torch.tensor([[0] * (length - len(ids)) + [1] * len(ids) for ids in given])
        processors = LogitsProcessorList(
            [*listening, *([SeededSampling(settings, seeds)] if settings.do_sample else [])]
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
            sequences = self.model.generate(
                pixel_values=images.to(device),
                views=views.to(device),
                input_ids=inputs.to(device),
                attention_mask=there.to(device),
                generation_config=GenerationConfig(
                    max_new_tokens=settings.max_new_tokens,
                    num_beams=settings.num_beams,
                    do_sample=False,  # SeededSampling does it
                    use_cache=True,
                    repetition_penalty=settings.repetition_penalty,
                    bos_token_id=self.tokenizer.bos_token_id,
                    eos_token_id=self.tokenizer.eos_token_id,
                    pad_token_id=pad,
                ),
                logits_processor=processors,
            )
        return sequences[:, length:].tolist()

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
            "indication_tokens": config.indication_tokens,
        }


def _beginning(tokenizer: PreTrainedTokenizerFast, config: VisionGPT2Config, study: Study) -> list[int]:
    """What the decoder reads of a study before the report: bos, and the indication where it was trained with that."""
    if not config.begins_with_bos:
        return []
    given = indication_text(study) if config.indication_tokens else ""
    return beginning(tokenizer, given, config.indication_tokens)


def _build(job: TrainingJob, tokenizer: PreTrainedTokenizerFast) -> VisionGPT2:
    """The untrained model; weights drawn from the job's seed where they are not pretrained."""
    options = job.options
    for part, held in (
        ("encoder_pretrained", "freeze_encoder"),
        ("decoder", "freeze_decoder"),
        ("decoder", "lora_rank"),
    ):
        if options[held] and not options[part]:
            raise UserError(f"{held} keeps weights as they are, so it needs pretrained ones: set {part}, too.")
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
            indication_tokens=min(INDICATION_TOKENS, options["max_tokens"] // 4) if options["indication"] else 0,
            freeze_encoder=options["freeze_encoder"],
            freeze_decoder=options["freeze_decoder"],
            text_config=text_config,
            preset=job.preset,
        )
    )
    if gpt2:
        model.gpt2.load_state_dict(gpt2.state_dict())
    if options["encoder_pretrained"]:
        take_pretrained(model.enc.backbone, model.config)
    if options["lora_rank"]:
        model.adapt(options["lora_rank"])
    return model
