"""Studies as a hub network's inputs: images through its own processor, the prompt, in training the report behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from benchmark.errors import UserError
from benchmark.schema import Study

from ._data import ReportDataset, readable
from ._hub_network import Parts
from ._vision_gpt2 import IGNORED, quiet

LARGEST_SIDE = 4096
"""A processor that speaks of more means pixels in all, also where it says how few they may be (Qwen2-VL: 3136)."""
USUAL_SIDE = 896
"""Of the square given to processors that take any size."""
INDICATION = "{indication}"
CAPTIONING = ("vision-encoder-decoder", "blip", "git", "pix2struct")
"""Kinds of network that are shown an image and asked nothing."""


def square_side(parts: Parts) -> int:
    """The side of the square that the checkpoint's own image processor makes, so that it need not resize again."""
    processor = parts.image_processor
    crop = getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", None) else None
    for sides in map(_sides, (crop, getattr(processor, "size", None))):
        if sides and max(sides) <= LARGEST_SIDE:
            return sides[0]
    return USUAL_SIDE


def _sides(sizes: Any) -> list[int]:
    if isinstance(sizes, int):
        return [sizes]
    get = sizes.get if hasattr(sizes, "get") else lambda key: getattr(sizes, key, None)
    return [int(side) for key in ("height", "shortest_edge", "longest_edge") if (side := get(key))]


def prompt_of(study: Study, prompt: str, indication: bool) -> str:
    """The prompt with the study's indication in the place of `{indication}`, or on a line of its own behind it."""
    if not indication:
        return prompt
    given = " ".join(study.context.get("indication", "").split()) or "none given"
    return prompt.replace(INDICATION, given) if INDICATION in prompt else f"{prompt}\nIndication: {given}"


class Inputs(Protocol):
    """Images and prompts as the network's inputs, in which each text is begun: all end in the last column."""

    @property
    def text(self) -> str:
        """Which of them the report goes on: `input_ids` or `decoder_input_ids`."""

    def __call__(self, images: Sequence[Sequence[Image.Image]], prompts: Sequence[str]) -> dict[str, Any]: ...

    def after_answer(self) -> str:
        """What a chat template writes behind an answer; empty where there is none."""


@dataclass(frozen=True)
class CaptionInputs:
    """One image a study, and a text that begins with the same tokens for all: what captioning networks take."""

    image_processor: Any
    begin: Sequence[int]
    text: str

    def __call__(self, images: Sequence[Sequence[Image.Image]], prompts: Sequence[str]) -> dict[str, Any]:
        features = dict(self.image_processor(images=[of_study[0] for of_study in images], return_tensors="pt"))
        return {**features, self.text: torch.tensor([list(self.begin)] * len(images))}

    def after_answer(self) -> str:
        return ""


@dataclass(frozen=True)
class PromptInputs:
    """Images and a prompt together, as a conversation where the checkpoint has a chat template."""

    processor: Any
    system: str
    chat: bool
    image_token: str
    """What stands for an image in a prompt that is no conversation; empty where the processor adds it itself."""
    begin: int | None
    """Of a network with an encoder, the first token that its decoder is given; None without."""

    @property
    def text(self) -> str:
        return "input_ids" if self.begin is None else "decoder_input_ids"

    def __call__(self, images: Sequence[Sequence[Image.Image]], prompts: Sequence[str]) -> dict[str, Any]:
        self.processor.tokenizer.padding_side = "left"
        options: dict[str, Any] = {"padding": True, "return_tensors": "pt"}
        if self.chat:
            texts = [self._render(len(i), prompt) for i, prompt in zip(images, prompts, strict=True)]
            bos = self.processor.tokenizer.bos_token
            if bos and texts[0].startswith(bos):  # else it would be there twice
                options["add_special_tokens"] = False
        else:
            texts = [self.image_token * len(i) + prompt for i, prompt in zip(images, prompts, strict=True)]
        with quiet():  # PaliGemma's would rather add no image tokens itself
            features = dict(self.processor(images=[list(i) for i in images], text=texts, **options))
        if self.begin is not None:
            features["decoder_input_ids"] = torch.full((len(images), 1), self.begin)
        return features

    def _render(self, n_images: int, prompt: str, answer: str = "") -> str:
        """The conversation as text: up to where the model answers, or with the answer."""
        content = [*({"type": "image"} for _ in range(n_images)), {"type": "text", "text": prompt}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if self.system:
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": self.system}]})
        if answer:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        return self.processor.apply_chat_template(messages, add_generation_prompt=not answer, tokenize=False)

    def after_answer(self) -> str:
        return self._render(1, "Findings", "Normal.").rpartition("Normal.")[2] if self.chat else ""


def prompt_inputs(parts: Parts, hub_id: str, system: str, prompt: str) -> PromptInputs:
    """How this checkpoint is prompted. Raises UserError where its prompts have no place for an image."""
    config, processor = parts.config, parts.processor
    if processor is None:
        raise UserError(
            f"{hub_id} has no processor for images and text together: if it writes captions, take hub-seq2seq."
        )
    template = getattr(processor, "chat_template", None) or getattr(processor.tokenizer, "chat_template", None)
    begin = decoder_start(config) if getattr(config, "is_encoder_decoder", False) else None
    token = getattr(processor, "image_token", None)
    token = str(getattr(token, "content", token) or "")
    blank = [[Image.new("RGB", (64, 64))]]
    tried = [""] if template else ["", token]
    first: Exception | None = None
    for image_token in dict.fromkeys(tried):
        inputs = PromptInputs(processor, system, bool(template), image_token, begin)
        try:
            ids = inputs(blank, [prompt or "Findings"])["input_ids"]
        # Templates and processors are other people's code, and raise what they like.
        except Exception as error:
            first = first or error
            continue
        place = _image_token_id(config)
        if place is None or (ids == place).any():
            return inputs
    said = f" ({first})" if first else ""
    raise UserError(
        f"The prompts of {hub_id} have no place for an image: its chat template or its processor is one of text{said}."
    )


def _image_token_id(config: Any) -> int | None:
    for name in ("image_token_id", "image_token_index"):
        if (found := getattr(config, name, None)) is not None:
            return int(found)
    return None


def decoder_start(config: Any) -> int:
    """The token that a decoder's text begins with, before any prompt. Raises UserError where none is said."""
    text = config.get_text_config(decoder=True)
    if config.model_type == "blip":  # says decoder_start_token_id, and uses another
        return int(text.bos_token_id)
    for part, name in ((config, "decoder_start_token_id"), (text, "decoder_start_token_id"), (text, "bos_token_id")):
        if (found := getattr(part, name, None)) is not None:
            return int(found)
    raise UserError(f"The checkpoint's config.json does not say what begins a text ('{config.model_type}').")


@dataclass
class PromptedDataset(ReportDataset):
    """A ReportDataset with each study's prompt; its token ids are the report's alone, end included."""

    prompts: Sequence[str] = ()

    def __getitem__(self, index: tuple[int, int] | int) -> dict[str, Any]:
        position = index[1] if isinstance(index, tuple) else index
        return {**super().__getitem__(index), "prompt": self.prompts[position]}


@dataclass(frozen=True)
class PromptedCollate:
    """Samples to the network's inputs with the reports behind the prompts, and `labels` (B, `keep`) of the last `keep`
    positions: the prompt's last token, which is no target, and the reports (see `TeacherForced`).
    """

    inputs: Inputs
    pad: int
    model_type: str

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        good, unreadable = readable(samples)
        images = [[to_picture(image) for image in sample["images"]] for sample in good]
        batch = self.inputs(images, [sample["prompt"] for sample in good])
        longest = max(len(sample["input_ids"]) for sample in good)
        reports = torch.full((len(good), longest), self.pad)
        labels = torch.full((len(good), longest + 1), IGNORED)
        there = torch.zeros_like(reports)
        for row, sample in enumerate(good):
            ids = torch.tensor(sample["input_ids"])
            reports[row, : len(ids)] = ids
            labels[row, 1 : len(ids) + 1] = ids
            there[row, : len(ids)] = 1
        text = self.inputs.text
        begun = batch[text]
        batch[text] = torch.cat([begun, reports], dim=1)
        if text == "input_ids":
            self._extend(batch, there, begun)
        batch |= {"labels": labels, "keep": longest + 1}
        if unreadable:
            batch["unreadable"] = unreadable
        return batch

    def _extend(self, batch: dict[str, Any], there: Tensor, begun: Tensor) -> None:
        """What else has one column a token. A decoder behind an encoder needs no mask: padding is to its right."""
        mask = batch.get("attention_mask", torch.ones_like(begun))
        batch["attention_mask"] = torch.cat([mask, there.to(mask)], dim=1)
        for name in ("token_type_ids", "mm_token_type_ids"):
            if name in batch:
                # PaliGemma attends both ways where the type is 0; elsewhere 0 is text.
                kind = int(name == "token_type_ids" and self.model_type == "paligemma")
                batch[name] = torch.cat([batch[name], torch.full_like(there, kind).to(batch[name])], dim=1)


def to_picture(image: Tensor) -> Image.Image:
    """A grey uint8 square (S, S) as processors take it."""
    return Image.fromarray(image.numpy()).convert("RGB")
