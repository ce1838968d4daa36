"""From studies to a trained `Captioner` and its reports: what the models that have such a network share."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedTokenizerFast

from benchmark.contracts import Dataset, Example, Looks, OnText, TrainingJob
from benchmark.errors import UserError, unknown
from benchmark.images import Geometry
from benchmark.schema import GenerationSettings, Report, Study

from ._captioner import Captioner
from ._checkpoints import finished, read_config
from ._data import Collate, Pictures
from ._examples import open_images, report_datasets, with_text
from ._looks import features, first_view, looks
from ._optimizer import step_adam
from ._options import check
from ._sampling import Listening, SeededSampling
from ._text import report_text
from ._tokenizer import encode, load_tokenizer
from ._training import TrainedModel, fit
from ._vision_gpt2 import load_strict, pixels, take_pretrained
from ._words import word_tokenizer
from ._writing import refuse_sampled_beams, to_report, write_reports

NETWORK_OPTIONS = (
    "encoder encoder_args image_size keep_aspect views position_code label_smoothing word_loss max_tokens width "
    "dropout feature_dropout"
).split()
"""Options that every network's configuration takes under the same name."""
OPTIMIZERS = ("adamw", "step-adam")


class ImageToText(TrainedModel):
    """A model whose network is a `Captioner` and whose words are R2Gen's.

    Options read, besides those of `_training.fit` and the network's own: `section` (what is written: `findings`, or
    `report` for both sections with their headings), `cleaning` and `threshold` (see `_words`), `optimizer` (`adamw`
    with a cosine schedule, or `step-adam`, see `_optimizer`).
    """

    NETWORK: ClassVar[type[Captioner]]
    OPTIONS: ClassVar[Sequence[str]] = ()
    """Further options that go to the network's configuration as they are."""
    LENGTH_PENALTY: ClassVar[float] = 1.0
    """Of beam search: the log-probability is divided by the length to this power."""

    def __init__(self, model: Captioner, tokenizer: PreTrainedTokenizerFast, preset: str):
        self.model = model.eval()
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
        if options["optimizer"] not in OPTIMIZERS:
            raise unknown("optimizer", options["optimizer"], OPTIMIZERS)
        if options["section"] not in SECTIONS:
            raise unknown("section", options["section"], SECTIONS)
        text, wanted = SECTIONS[options["section"]]
        examples = {name: with_text(getattr(job, name), name, job, text, wanted) for name in ("train", "validation")}
        geometry = Geometry(options["image_size"], options["keep_aspect"])
        read = open_images(job, [e.study for chosen in examples.values() for e in chosen], geometry, options["views"])
        tokenizer = cls.make_tokenizer(job, list(map(text, examples["train"])))
        model = cls.build(job, len(tokenizer))
        token_ids = {
            name: [encode(tokenizer, text(example), options["max_tokens"]) for example in chosen]
            for name, chosen in examples.items()
        }
        data = report_datasets(job, examples, read, token_ids)
        fit(
            job,
            model,
            train=data["train"],
            validation=data["validation"],
            collate=Collate(tokenizer.pad_token_id, model.config.mean, model.config.std),
            save_more=tokenizer.save_pretrained,
            as_model=lambda network: cls(cast(Captioner, network), tokenizer, job.preset),
            optimizer=functools.partial(step_adam, options=options) if options["optimizer"] == "step-adam" else None,
        )

    @classmethod
    def make_tokenizer(cls, job: TrainingJob, texts: Sequence[str]) -> PreTrainedTokenizerFast:
        options = job.options
        tokenizer = word_tokenizer(texts, options["threshold"], options["cleaning"], options["section"] == "report")
        if tokenizer.backend_tokenizer.get_vocab_size(with_added_tokens=False) <= 2:
            raise UserError(f"No word occurs {options['threshold']} times in the training reports: lower it.")
        return tokenizer

    @classmethod
    def build(cls, job: TrainingJob, vocabulary: int) -> Captioner:
        """The untrained network; weights drawn from the job's seed where they are not pretrained."""
        options = job.options
        torch.manual_seed(job.seed)
        values = {key: options[key] for key in (*NETWORK_OPTIONS, *cls.OPTIONS)}
        model: Captioner = cls.NETWORK(cls.NETWORK.config_class(vocab_size=vocabulary, preset=job.preset, **values))
        if options["encoder_pretrained"]:
            take_pretrained(model.backbone, model.config)
        return model

    @classmethod
    def load(cls, checkpoint: Path, device: str) -> ImageToText:
        """Raises UserError where the folder holds another model's checkpoint, or a damaged one."""
        kind = cls.NETWORK.config_class.model_type
        config = read_config(checkpoint, kind, kind)
        tokenizer = load_tokenizer(checkpoint)
        model: Captioner = load_strict(checkpoint, cls.NETWORK)
        if len(tokenizer) != model.config.vocab_size:
            raise UserError(
                f"The tokenizer in {checkpoint} has {len(tokenizer)} words and the model {model.config.vocab_size}: "
                "they do not belong together."
            )
        model.to(torch.device(device))  # type: ignore[arg-type]
        return cls(model, tokenizer, str(config.get("preset", "")))

    def generate(
        self,
        studies: Sequence[Study],
        settings: GenerationSettings,
        seeds: Sequence[int],
        on_text: OnText | None = None,
    ) -> list[Report]:
        """Greedy, beam or seeded sampling from each study's first view, or as many as the model was trained on.

        A view that cannot be read is left out and named, and is its study's error where there is no other. Texts end at
        the model's `max_tokens` where that is smaller than `max_new_tokens`. Raises UserError for sampling with beams.
        """
        refuse_sampled_beams(settings)
        config, tokenizer = self.model.config, self.tokenizer

        def write(seen: Sequence[int], pictures: Sequence[Pictures]) -> list[Report]:
            images = torch.stack([image for each in pictures for image in each.images])
            generated = self._generate(
                pixels(images, config.mean, config.std),
                torch.tensor([len(each.images) for each in pictures]),
                settings,
                [seeds[i] for i in seen],
                [Listening(lambda ids: on_text(to_report(tokenizer, ids[1:]).text))] if on_text else [],
            )
            return [to_report(tokenizer, ids) for ids in generated]

        return write_reports(studies, config.views, Geometry(config.image_size, config.keep_aspect).read, write)

    def _generate(
        self,
        images: Tensor,
        views: Tensor,
        settings: GenerationSettings,
        seeds: Sequence[int],
        listening: list[Listening],
    ) -> list[list[int]]:
        """Token ids after the bos token, filled up with the end token to one length."""
        processors = LogitsProcessorList(
            [*listening, *([SeededSampling(settings, seeds)] if settings.do_sample else [])]
        )
        sequences = self.model.generate(
            pixel_values=images.to(self.model.device),
            views=views.to(self.model.device),
            generation_config=GenerationConfig(
                max_new_tokens=min(settings.max_new_tokens, self.model.config.max_tokens),
                num_beams=settings.num_beams,
                length_penalty=self.LENGTH_PENALTY if settings.num_beams > 1 else None,  # else transformers warns
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

    @torch.inference_mode()
    def looks(self, study: Study, text: str) -> Looks | None:
        """By the weights of the positions, in networks that keep them (`Decoded.attention`)."""
        model, config = self.model, self.model.config
        states, _ = model.encode(first_view(study, config).to(model.device))
        before = [self.tokenizer.bos_token_id]
        if model.decode(states, None, torch.tensor([before], device=model.device), None).attention is None:
            return None

        def attention(ids: Tensor) -> Tensor:
            decoded = model.decode(states, None, ids.to(model.device), None)
            assert decoded.attention is not None
            return decoded.attention[0]

        return looks(self.tokenizer, text, before, config.max_tokens, attention, model.backbone, config.keep_aspect)

    def features(self, studies: Sequence[Study]) -> np.ndarray:
        return features(studies, self.model.config, lambda images: self.model.features(images.to(self.model.device)))

    @classmethod
    @abstractmethod
    def describe(cls, config: Any) -> str:
        """The decoder in a few words."""

    def card(self) -> dict[str, Any]:
        config = self.model.config
        return {
            "parameters": self.model.num_parameters(),
            "preset": self.preset,
            "encoder": config.encoder,
            "decoder": self.describe(config),
            "vocabulary": config.vocab_size,
            "image_size": config.image_size,
            "keep_aspect": config.keep_aspect,
            "views": config.views,
        }


def _findings(example: Example) -> str:
    return example.reference.findings


SECTIONS: Mapping[str, tuple[Callable[[Example], str], str]] = {
    "report": (report_text, "findings or an impression"),
    "findings": (_findings, "findings"),
}
"""What a model may write: from an example to the text, and what that is called."""
