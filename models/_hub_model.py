"""A report generator that is a hub checkpoint: as it is, or trained further."""

from __future__ import annotations

import dataclasses
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from PIL import Image
from transformers import GenerationConfig, LogitsProcessorList

from benchmark.contracts import OnText, TrainingJob
from benchmark.errors import UserError, unknown
from benchmark.images import Geometry
from benchmark.schema import GenerationSettings, Report, Study

from ._checkpoints import finished
from ._data import Augmentation, Pictures
from ._examples import open_images, with_text
from ._history import write_atomically
from ._hub import fetch
from ._hub_inputs import INDICATION, Inputs, PromptedCollate, PromptedDataset, prompt_of, square_side, to_picture
from ._hub_network import (
    ADAPTER_WEIGHTS,
    FULL_WEIGHTS,
    Parts,
    TeacherForced,
    add_lora,
    check_weights,
    choose_dtype,
    load_lora,
    open_network,
    open_parts,
    quantised,
)
from ._options import check
from ._sampling import Listening, SeededSampling
from ._text import report_text
from ._training import TrainedModel, fit
from ._vision_gpt2 import quiet
from ._writing import refuse_sampled_beams, write_reports

CARD = "hub.json"
TUNINGS = {"none": "", "lora": ADAPTER_WEIGHTS, "full": FULL_WEIGHTS}
"""What of the checkpoint is trained, and the file in which it then lies."""

HUB_OPTIONS: Mapping[str, Any] = {
    "hub_id": "",
    "revision": "",
    "dtype": "auto",
    "quantisation": "",
    "prompt": "",
    "system": "",
    "indication": False,
    "views": 1,
    "image_size": 0,
    "keep_aspect": True,
    "max_tokens": 256,
    "tuning": "none",
    "lora_rank": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "lora_targets": "all-linear",
    "gradient_checkpointing": False,
    # Convolutions are a small part of these networks, and neither weights of four bits nor safetensors take the layout.
    "channels_last": False,
    "label_smoothing": 0.0,
    "learning_rate": 2e-4,
    "weight_decay": 0.01,
    "warmup": 0.03,
    "clip": 1.0,
    "batch_size": 4,
    "accumulation": 4,
    "epochs": 1,
    "save_every": 500,
    "workers": 4,
    "degrees": 5.0,
    "shift": 0.03,
    "scale": 0.05,
    "contrast": 0.1,
}
"""`image_size` 0 takes the side that the checkpoint's own image processor makes; `tuning` is one of TUNINGS."""


@dataclass(frozen=True)
class Card:
    """`hub.json`: what the reports are made with."""

    model: str
    hub_id: str
    revision: str
    licence: str
    architecture: str
    trust_remote_code: bool
    """For the record: whether the code runs again, `_hub_network.TRUSTED` alone says."""
    dtype: str
    quantisation: str
    prompt: str
    system: str
    indication: bool
    views: int
    image_size: int
    keep_aspect: bool
    tuning: str

    @property
    def images(self) -> str:
        """The image policy as a sentence."""
        views = "the first view" if self.views == 1 else f"the first {self.views} views"
        fit = "filled up with black" if self.keep_aspect else "squashed"
        return f"{views}, grey, {fit} to {self.image_size} × {self.image_size}, then the checkpoint's own processor"


class HubModel(TrainedModel):
    """See `_hub_network.TeacherForced` for how it is trained."""

    NAME: ClassVar[str]
    ZERO_SHOT = frozenset({"zero-shot"})
    NEEDS: ClassVar[tuple[str, ...]] = ("a checkpoint: --set hub_id=…", "training reports for lora and full")

    def __init__(self, network: Any, parts: Parts, inputs: Inputs, card: Card):
        self.network = network.eval()
        self.parts = parts
        self.inputs = inputs
        self.hub_card = card
        self.ends = _ends(network, parts)
        self.pad = _pad(parts)

    @classmethod
    @abstractmethod
    def make_inputs(cls, parts: Parts, card: Card) -> Inputs:
        """How a checkpoint is given images and prompts. Raises UserError for one that this model is not for."""

    @classmethod
    def train(cls, job: TrainingJob) -> None:
        """Write hub.json; with a tuning also train, to adapter_model.safetensors (LoRA, as peft loads it) or
        model.safetensors.

        Raises UserError where the checkpoint is not to be had, damaged or of another kind, no report or image can be
        used, an option has no such value, the disk is too small or training diverges.
        """
        options = job.options
        if options["tuning"] not in TUNINGS:
            raise unknown("tuning", options["tuning"], TUNINGS)
        check(options)
        weights = TUNINGS[options["tuning"]]
        if finished(job.output, weights or CARD):
            job.report(f"{job.output} holds a finished training.")
            return
        _check(options, job.device)
        source = fetch(options["hub_id"], options["revision"])
        parts = open_parts(source)
        card = _card(cls.NAME, options, source, parts)
        inputs = cls.make_inputs(parts, card)
        job.report(f"{source.name}, revision {source.revision[:15]}, licence: {source.licence or 'not stated'}.")
        if not weights:
            check_weights(source, parts)  # else a broken checkpoint would be the newest, before a good one
            _write(card, job.output)
            return
        torch.manual_seed(job.seed)
        network = _tunable(source, parts, card, job)
        ends = _ends(network, parts)
        end = _end_of_report(parts, inputs, ends)
        examples = {name: with_text(getattr(job, name), name, job) for name in ("train", "validation")}
        geometry = Geometry(card.image_size, card.keep_aspect)
        longest = _room(parts, inputs, card, options["max_tokens"])
        if longest < options["max_tokens"]:
            job.report(f"Reports are cut to {longest} tokens, for which {source.name} has positions.")
        read = open_images(job, [e.study for chosen in examples.values() for e in chosen], geometry, card.views)

        def dataset(name: str, augmentation: Augmentation) -> PromptedDataset:
            return PromptedDataset(
                studies=[e.study for e in examples[name]],
                token_ids=[_encode(parts, report_text(e), end, longest) for e in examples[name]],
                read=read,
                views=card.views,
                seed=job.seed,
                augmentation=augmentation,
                prompts=[prompt_of(e.study, card.prompt, card.indication) for e in examples[name]],
            )

        fit(
            job,
            TeacherForced(network, options["label_smoothing"]),  # type: ignore[arg-type]
            train=dataset("train", Augmentation(*(options[key] for key in ("degrees", "shift", "scale", "contrast")))),
            validation=dataset("validation", Augmentation()),
            collate=PromptedCollate(inputs, _pad(parts), parts.config.model_type),  # type: ignore[arg-type]
            save_more=lambda output: _write(card, output),
            as_model=lambda trained: cls(cast(TeacherForced, trained).network, parts, inputs, card),
        )

    @classmethod
    def load(cls, checkpoint: Path, device: str) -> HubModel:
        """Raises UserError where the folder is another model's or damaged, or the hub checkpoint is no longer there."""
        card = _read(checkpoint, cls.NAME)
        source = fetch(card.hub_id, card.revision)
        parts = open_parts(source)
        inputs = cls.make_inputs(parts, card)
        network = open_network(
            source,
            parts,
            device=device,
            dtype=choose_dtype(card.dtype, device),
            quantisation=card.quantisation,
            folder=checkpoint if card.tuning == "full" else None,
        )
        if card.tuning == "lora":
            network = load_lora(network, checkpoint)
        return cls(network, parts, inputs, card)

    def generate(
        self,
        studies: Sequence[Study],
        settings: GenerationSettings,
        seeds: Sequence[int],
        on_text: OnText | None = None,
    ) -> list[Report]:
        """Greedy, beam or seeded sampling; of the checkpoint's own generation settings only its special tokens count.

        A view that cannot be read is left out and named; it is its study's error where there is no other. Texts end at
        the network's last position where that comes before `max_new_tokens`. Raises UserError for sampling with beams.
        """
        refuse_sampled_beams(settings)
        card = self.hub_card

        def write(seen: Sequence[int], pictures: Sequence[Pictures]) -> list[Report]:
            batch = self.inputs(
                [[to_picture(image) for image in each.images] for each in pictures],
                [prompt_of(studies[i], card.prompt, card.indication) for i in seen],
            )
            return [self._report(ids) for ids in self._generate(batch, settings, [seeds[i] for i in seen], on_text)]

        return write_reports(studies, card.views, Geometry(card.image_size, card.keep_aspect).read, write)

    @torch.inference_mode()
    def _generate(
        self,
        batch: dict[str, Any],
        settings: GenerationSettings,
        seeds: Sequence[int],
        on_text: OnText | None,
    ) -> list[list[int]]:
        """Token ids behind the prompt, filled up to one length."""
        device, dtype = self.network.device, self.network.dtype
        inputs = {
            name: value.to(device, dtype if value.is_floating_point() else None)
            for name, value in batch.items()
            if torch.is_tensor(value)
        }
        begun = inputs[self.inputs.text]
        config = GenerationConfig(
            max_new_tokens=_positions_left(self.parts, begun.shape[1], settings.max_new_tokens),
            num_beams=settings.num_beams,
            do_sample=False,  # SeededSampling does it
            use_cache=True,
            repetition_penalty=settings.repetition_penalty,
            decoder_start_token_id=getattr(self.network.generation_config, "decoder_start_token_id", None),
            bos_token_id=getattr(self.network.generation_config, "bos_token_id", None),
            eos_token_id=sorted(self.ends),
            pad_token_id=self.pad,
        )
        self.network.generation_config = config  # else transformers fills in what is unset from the checkpoint's
        width = begun.shape[1]

        def behind(sequences: list[list[int]]) -> list[list[int]]:
            """Most networks repeat the prompt, those that make embeddings of it first do not."""
            repeated = all(ids[:width] == prompt for ids, prompt in zip(sequences, begun.tolist(), strict=False))
            return [ids[width if repeated else 0 :] for ids in sequences]

        processors = LogitsProcessorList([SeededSampling(settings, seeds)] if settings.do_sample else [])
        if on_text:
            processors.insert(0, Listening(lambda ids: on_text(self._report(*behind([ids])).text)))
        if self.parts.config.model_type == "blip":  # it takes the last token away again
            inputs["input_ids"] = torch.cat([begun, torch.full_like(begun[:, :1], self.pad)], dim=1)
        with quiet():
            sequences = self.network.generate(**inputs, generation_config=config, logits_processor=processors)
        return behind(sequences.tolist())

    def _report(self, ids: list[int]) -> Report:
        ended = next((i for i, token in enumerate(ids) if token in self.ends), None)
        kept = ids[:ended]
        text = str(self.parts.tokenizer.decode(kept, skip_special_tokens=True))
        return Report(text.strip(), n_tokens=len(kept), truncated=ended is None)

    def card(self) -> dict[str, Any]:
        values = dataclasses.asdict(self.hub_card)
        local = self.hub_card.revision.startswith("sha256:")
        return {
            **values,
            "hub_id": Path(self.hub_card.hub_id).name if local else self.hub_card.hub_id,
            "dtype": str(self.network.dtype).removeprefix("torch."),
            "images": self.hub_card.images,
            "parameters": self.network.num_parameters(),  # of packed 4-bit weights too
        }


def _check(options: Mapping[str, Any], device: str) -> None:
    """Raises UserError for options that do not go together, or cannot be had on the device."""
    if options["tuning"] == "full" and options["quantisation"]:
        raise UserError("4-bit weights cannot be trained themselves: take --preset lora, or leave quantisation out.")
    if INDICATION in options["prompt"] and not options["indication"]:
        raise UserError(f"The prompt holds {INDICATION}, but indications are off: add --set indication=true.")
    dtype = choose_dtype(options["dtype"], device)
    if options["quantisation"]:
        quantised(options["quantisation"], dtype, device)


def _card(name: str, options: Mapping[str, Any], source: Any, parts: Parts) -> Card:
    same = {field.name: options[field.name] for field in dataclasses.fields(Card) if field.name in options}
    return Card(
        **{
            **same,
            "model": name,
            "hub_id": source.hub_id,
            "revision": source.revision,
            "licence": source.licence,
            "trust_remote_code": parts.remote_code,
            "architecture": (getattr(parts.config, "architectures", None) or [parts.config.model_type])[0],
            "image_size": options["image_size"] or square_side(parts),
        }
    )


def _write(card: Card, output: Path) -> None:
    write_atomically(output / CARD, json.dumps(dataclasses.asdict(card), indent=1, ensure_ascii=False))


def _read(checkpoint: Path, name: str) -> Card:
    try:
        values = json.loads((checkpoint / CARD).read_text("utf-8"))
        kind = values["model"]
        if kind == name:
            return Card(**values)
    except FileNotFoundError:
        raise UserError(f"{checkpoint} is no checkpoint of {name}: it has no {CARD}.") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{checkpoint / CARD} is damaged. Make it again with --fresh.") from None
    raise UserError(f"{checkpoint} is a checkpoint of {kind}, not of {name}.")


def _tunable(source: Any, parts: Parts, card: Card, job: TrainingJob) -> Any:
    """The network to be trained. Trained weights are float32 whatever the frozen ones are."""
    options = job.options
    full = card.tuning == "full"
    dtype = torch.float32 if full else choose_dtype(card.dtype, job.device)
    network = open_network(source, parts, device=job.device, dtype=dtype, quantisation=card.quantisation)
    if full:
        return network
    return add_lora(network, *(options[f"lora_{key}"] for key in ("rank", "alpha", "dropout", "targets")))


def _ends(network: Any, parts: Parts) -> frozenset[int]:
    """The tokens that end a text: those of the checkpoint's generation settings, else of its configuration."""
    text = parts.config.get_text_config(decoder=True)
    if parts.config.model_type == "blip":
        return frozenset({int(text.sep_token_id)})
    stated = (getattr(each, "eos_token_id", None) for each in (network.generation_config, parts.config, text))
    found = next((ids for ids in stated if ids is not None), parts.tokenizer.eos_token_id)
    if found is None:
        raise UserError("Neither the checkpoint's configuration nor its tokenizer says what ends a text.")
    return frozenset(found if isinstance(found, list) else [found])


def _pad(parts: Parts) -> int:
    """Padding is told by masks and lengths, so that any token does."""
    return int(parts.tokenizer.pad_token_id or 0)


def _end_of_report(parts: Parts, inputs: Inputs, ends: frozenset[int]) -> int:
    """The token taught behind a report: what the chat template puts there, where that ends generation."""
    after = parts.tokenizer.encode(inputs.after_answer(), add_special_tokens=False)
    usual = parts.tokenizer.eos_token_id
    return next((token for token in after if token in ends), usual if usual in ends else min(ends))


def _positions_left(parts: Parts, begun: int, wanted: int) -> int:
    """How many of the tokens wanted fit behind those begun. Raises UserError where none does."""
    text = parts.config.get_text_config(decoder=True)
    positions = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    if positions is not None and begun >= positions:
        raise UserError(
            f"The prompt and its images take {begun} tokens, and the checkpoint has {positions} positions: shorten the "
            "prompt, or take fewer views or a smaller image_size."
        )
    return wanted if positions is None else min(wanted, positions - begun)


def _room(parts: Parts, inputs: Inputs, card: Card, wanted: int) -> int:
    blank = Image.new("RGB", (card.image_size, card.image_size))
    begun = inputs([[blank] * card.views], [card.prompt])[inputs.text]
    return _positions_left(parts, begun.shape[1], wanted)


def _encode(parts: Parts, text: str, end: int, max_tokens: int) -> list[int]:
    """A text that does not fit `max_tokens` is cut, and then does not end."""
    ids = list(parts.tokenizer.encode(text, add_special_tokens=False))
    return [*ids, end] if len(ids) < max_tokens else ids[:max_tokens]
