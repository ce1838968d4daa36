"""What Python code is offered: load a model and let it write, score texts.

from benchmark import load_model, score

model = load_model("results/checkpoints/vgpt2/tiny-phantom-0")
report = model.generate("chest.png")
print(report.findings, report.impression)
print(score([report.findings], ["The lungs are clear."]).metrics["bleu_4"].value)
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark import evaluate, registry
from benchmark import generate as generation
from benchmark import train as training
from benchmark.contracts import Model, OnText
from benchmark.errors import UserError
from benchmark.schema import Prediction, Study, View
from benchmark.score import score_texts as score

__all__ = ["LoadedModel", "Prepared", "load_model", "score"]


def load_model(
    checkpoint: str | Path, *, model: str | None = None, device: str | None = None, tokenizer: str = ""
) -> LoadedModel:
    """The model of a checkpoint: a folder that `bench train` wrote, or a file of weights that authors released.

    `model` is its name from `bench models`; a folder says that itself, and a file is taken for `vgpt2`'s. `device`: as
    torch names it, else the best there is. `tokenizer`: folder or hub id, for released weights, which come without one.
    Raises UserError where there is no such checkpoint or it is damaged.
    """
    path, chosen = Path(checkpoint), evaluate.choose_device(device)
    if path.is_file():
        plugin: type[Model] = registry.MODELS.load(model or "vgpt2")
        return LoadedModel(plugin.load_released(path, chosen, tokenizer))
    found = training.open_checkpoint(path, model)
    return LoadedModel(registry.MODELS.load(found.card["model"]).load(found.path, chosen))


@dataclass(frozen=True)
class Prepared:
    """An image, or several views of one study, as a model takes it."""

    study: Study
    pixel_values: Any
    """What the network sees; of `vgpt2` a float tensor (views, 3, S, S). None for models that do not show it."""
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)
    """Holds the pictures that were not files, and goes with this object."""


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to write."""

    plugin: Model
    """What does the work; `vgpt2`'s network is its `model`."""

    @property
    def decodings(self) -> Mapping[str, Mapping[str, Any]]:
        """The model's named generation settings."""
        return self.plugin.DECODINGS

    def prepare(self, image: Any, *, indication: str = "") -> Prepared:
        """An image, or a list of views of one study: PIL images or paths. Raises UserError where none can be read.

        `indication` is for models trained with it; others do not look at it.
        """
        images = image if isinstance(image, list | tuple) else [image]
        if not images:
            raise UserError("There is no image: give one, or a list of one study's views.")
        files = all(isinstance(each, str | Path) for each in images)
        folder = None if files else tempfile.TemporaryDirectory(prefix="benchmark-")
        place = Path(folder.name if folder else "")
        views = tuple(View(_file(each, place / f"{i}.tif")) for i, each in enumerate(images))
        study = Study("image", "image", "", views, {"indication": indication})
        return Prepared(study, self.plugin.prepare(study), folder)

    def generate(
        self,
        image: Any,
        *,
        decoding: str | None = None,
        prompt: str | None = None,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float | None = None,
        num_beams: int | None = None,
        do_sample: bool | None = None,
        seed: int = 0,
        indication: str = "",
        on_text: OnText | None = None,
    ) -> Prediction:
        """What the model writes about an image (as in `prepare`, or already prepared): text, findings, impression.

        `decoding` names settings of the model, which those given here go before. Without any it takes the likeliest
        token; it samples, from `seed`, where a temperature, top_k or top_p is given. `on_text` is told the text as it
        grows. Raises UserError where the image cannot be read or a setting is impossible.
        """
        prepared = image if isinstance(image, Prepared) else self.prepare(image, indication=indication)
        given = {
            "prompt": prompt,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "top_p": top_p,
            "repetition_penalty": repetition_penalty,
            "num_beams": num_beams,
            "do_sample": do_sample,
        }
        try:
            settings = evaluate.named_settings(type(self.plugin), decoding, given)
        except UserError as error:
            raise UserError(_as_parameters(str(error))) from None
        if on_text:
            written = generation.stream(self.plugin, prepared.study, settings, seed, on_text)
        else:
            (written,) = generation.predict(self.plugin, [prepared.study], settings, seed)
        if written.error:
            raise UserError(written.error)
        return written


def _as_parameters(sentence: str) -> str:
    """A sentence about options of the command line, with the names that `generate` has for them."""
    names = {"beams": "num_beams", "sample": "do_sample"}
    return re.sub(r"--([a-z-]+)", lambda option: names.get(option[1], option[1].replace("-", "_")), sentence)


def _file(image: Any, path: Path) -> Path:
    """The file of an image; a PIL image is written to `path` without loss, so that it goes the way of all images."""
    if isinstance(image, str | Path):
        return Path(image).absolute()
    from PIL import Image, ImageOps

    if not isinstance(image, Image.Image):
        raise UserError(f"An image is a PIL image or a path, not {type(image).__name__}.")
    ImageOps.exif_transpose(image).save(path)
    return path
