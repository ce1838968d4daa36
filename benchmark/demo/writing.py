"""One report: asked for, watched while it is written, and kept with all that a download says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmark.api import Prepared
from benchmark.contracts import OnText
from benchmark.demo import heat
from benchmark.demo.pictures import Picture
from benchmark.demo.shelf import Shared
from benchmark.labeler.label import label
from benchmark.schema import Prediction

METHODS: Mapping[str, tuple[str, ...]] = {
    "greedy": (),
    "sampling": ("temperature", "top_p", "top_k", "seed"),
    "beam": ("num_beams",),
}
"""Ways to decode, with what may be set for each besides the two below."""
ALWAYS = ("max_new_tokens", "repetition_penalty")


@dataclass(frozen=True)
class Written:
    """A report with how it came to be."""

    model: str
    checkpoint: Mapping[str, str]
    settings: Mapping[str, Any]
    image: str
    picture: str
    """The key of its picture."""
    time: str
    prediction: Prediction
    findings: list[heat.Sentence]
    impression: list[heat.Sentence]
    has_looks: bool

    @property
    def labels(self) -> Mapping[str, int]:
        return label(self.prediction.section("report"))

    def as_json(self) -> str:
        written = self.prediction
        about = {
            "model": self.model,
            "checkpoint": dict(self.checkpoint),
            "settings": dict(self.settings),
            "image": self.image,
            "time": self.time,
            "seconds": written.seconds,
            "n_tokens": written.n_tokens,
            "truncated": written.truncated,
            "text": written.text,
            "findings": written.findings,
            "impression": written.impression,
            "labels": dict(self.labels),
            "notice": "Not for clinical use.",
        }
        return json.dumps(about, ensure_ascii=False, indent=1)

    def as_txt(self, words: Mapping[str, str]) -> str:
        settings = ", ".join(f"{key}={value}" for key, value in self.settings.items())
        checkpoint = f"{self.checkpoint['name']} ({self.checkpoint['hash'][:12]})"
        lines = [
            words["txt_title"],
            words["notice"],
            "",
            f"{words['model']}: {self.model}",
            f"{words['checkpoint']}: {checkpoint}",
            f"{words['decoding']}: {settings}",
            f"{words['image_name']}: {self.image}",
            f"{words['made_at']}: {self.time}",
            "",
            f"{words['findings']}:",
            self.prediction.findings,
            "",
            f"{words['impression']}:",
            self.prediction.impression,
            "",
            f"{words['raw']}:",
            self.prediction.text,
            "",
        ]
        return "\n".join(lines)

    def file_name(self, suffix: str) -> str:
        moment = "".join(character for character in self.time if character.isdigit())[:14]
        return f"report-{self.model}-{moment}.{suffix}"


def chosen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of all that the page offers, what counts for the method chosen."""
    return {key: values[key] for key in ("method", *ALWAYS, *METHODS[values["method"]])}


def write(
    shared: Shared,
    picture: Picture,
    settings: Mapping[str, Any],
    on_text: OnText,
    on_wait: Callable[[], None],
) -> Written:
    """Let a model write about a picture; `on_wait` is called where another report is being written by it.

    Raises UserError as `LoadedModel.generate` does.
    """
    given = {key: value for key, value in settings.items() if key != "method"}
    if settings["method"] == "sampling":
        given["do_sample"] = True
    if not shared.lock.acquire(blocking=False):
        on_wait()
        shared.lock.acquire()
    try:
        with picture.file() as path:
            prepared: Prepared = shared.model.prepare(path)
            prediction = shared.model.generate(prepared, on_text=on_text, **given)
            looks = shared.model.plugin.looks(prepared.study, prediction.text)
    finally:
        shared.lock.release()
    card = shared.checkpoint.card
    findings, impression = heat.sections(
        prediction.text, prediction.findings, prediction.impression, looks, picture.size
    )
    return Written(
        model=card["model"],
        checkpoint={
            "name": shared.checkpoint.path.name,
            "hash": card["hash"],
            "preset": card["preset"],
            "dataset": card["dataset"]["name"],
        },
        settings=settings,
        image=picture.name,
        picture=picture.key,
        time=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        prediction=prediction,
        findings=findings,
        impression=impression,
        has_looks=looks is not None,
    )
