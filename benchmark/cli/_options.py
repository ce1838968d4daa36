"""Options that several commands take, in groups."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark import config
from benchmark.errors import UserError
from benchmark.registry import METRICS

if TYPE_CHECKING:
    from benchmark.contracts import Dataset, MetricContext, Model
    from benchmark.schema import GenerationSettings

ModelName = Annotated[str, typer.Argument(help="A name from `bench models`.")]
CheckpointPath = Annotated[
    Path | None,
    typer.Option("--checkpoint", help="Folder, or a file of released weights; else the newest that fits."),
]
Words = Annotated[
    str,
    typer.Option("--tokenizer", help="Of released weights: folder or hub id of a tokenizer, or file of a vocabulary."),
]
Preset = Annotated[str | None, typer.Option("--preset", help="See `bench models NAME`; else what fits the data set.")]
Changes = Annotated[list[str] | None, typer.Option("--set", help="key=value in place of a preset's value.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N studies; kept off leaderboards.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1, mps; else the best there is.")]
Processes = Annotated[
    int | None, typer.Option("--nproc", help="Work in so many processes on this machine, each with a GPU of its own.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
TrainingSeed = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of training.")  # what numpy takes
]
GenerationSeed = Annotated[int, typer.Option("--seed", help="Seed of generation.")]
Missing = Annotated[
    str, typer.Option("--missing", help="Studies without just one hypothesis: fail, zero (an empty one), skip.")
]
ExtraMetrics = Annotated[
    list[str] | None, typer.Option("--metric", help="A further metric of `bench metrics`. Repeatable.")
]
Protocols = Annotated[
    str,
    typer.Option("--protocol", help="Further protocols of `bench protocols`, divided by commas, kept with the scores."),
]
Split = Annotated[str, typer.Option("--split", help="train, val or test.")]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options: each field of such a parameter is an option of its own."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {p.name: p.annotation for p in parameters if dataclasses.is_dataclass(p.annotation)}
    flat = [one for p in parameters for one in (_fields(groups[p.name]) if p.name in groups else [p])]

    @functools.wraps(command)
    def wrapper(**given: Any) -> None:
        for name, group in groups.items():
            values = {key: given.pop(key) for key in inspect.signature(group).parameters}
            given[name] = group(**values)
        command(**given)

    del wrapper.__dict__["__wrapped__"]  # its signature is not what callers see
    wrapper.__annotations__ = {p.name: p.annotation for p in flat}
    wrapper.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    return wrapper


def _fields(group: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(group, eval_str=True).parameters.values())


@dataclass(frozen=True)
class DataOptions:
    """Which data, and where they lie."""

    dataset: Annotated[str | None, typer.Option("--dataset", help="A name from `bench datasets`.")] = None
    root: Annotated[Path | None, typer.Option("--root", help="Folder of the data set.")] = None
    reports_root: Annotated[
        Path | None, typer.Option("--reports-root", help="Folder of the reports, where it is another.")
    ] = None
    layout: Annotated[str | None, typer.Option("--layout", help="Its form, where it is not to be recognised.")] = None
    data_option: Annotated[
        list[str] | None, typer.Option("--data-option", help="key=value; see `bench datasets NAME`.")
    ] = None

    def open(self, name: str | None = None) -> Dataset:
        """The data set. Raises UserError where it cannot be read."""
        from benchmark import opening

        options = dict(key_value("--data-option", option) for option in self.data_option or [])
        if self.layout is not None:
            options["layout"] = self.layout
        results = config.results_folder()
        return opening.open_dataset(name or self.dataset, self.root, self.reports_root, results, options)


@dataclass(frozen=True)
class MetricOptions:
    """What metrics are made with."""

    bertscore_encoder: Annotated[
        str, typer.Option("--bertscore-encoder", help="Folder or hub id; else the MiniLM package.")
    ] = ""
    bertscore_precision: Annotated[
        str,
        typer.Option("--bertscore-precision", help="fp32, or bf16: sooner on a CPU that has it, mean within 2e-4."),
    ] = "fp32"
    model_folder: Annotated[
        list[str] | None, typer.Option("--model-folder", help="HUB_ID=FOLDER of a tokenizer or encoder.")
    ] = None

    def context(self) -> MetricContext:
        """Raises UserError for a folder that is not given as HUB_ID=FOLDER."""
        from benchmark.contracts import MetricContext

        folders = dict(key_value("--model-folder", given) for given in self.model_folder or [])
        extra = {"folders": folders, "bertscore_precision": self.bertscore_precision}
        return MetricContext(encoder=self.bertscore_encoder, extra=extra)


def key_value(option: str, given: str) -> tuple[str, str]:
    """The two halves of what an option was given. Raises UserError without `=`."""
    key, equals, value = given.partition("=")
    if not equals:
        raise UserError(f"{option} takes key=value, not '{given}'.")
    return key, value


def check_metrics(names: list[str] | None) -> list[str]:
    """The names, known before any work is done. Raises UserError for one that is no metric."""
    for name in names or ():
        METRICS.load(name)
    return names or []


def check_protocols(given: str) -> list[str]:
    """The names divided by commas, known before any work is done. Raises UserError for one that is no protocol."""
    from benchmark import protocols

    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        protocols.load(name)
    return names


@dataclass(frozen=True)
class GenerationOptions:
    """How text is decoded."""

    decoding: Annotated[
        str | None, typer.Option("--decoding", help="Named settings from `bench models NAME`; others here go before.")
    ] = None
    max_new_tokens: Annotated[int | None, typer.Option("--max-new-tokens", help="Longest report, in tokens.")] = None
    beams: Annotated[int | None, typer.Option("--beams", help="Beam search with so many beams.")] = None
    sample: Annotated[bool, typer.Option("--sample", help="Sample instead of taking the likeliest token.")] = False
    temperature: Annotated[float | None, typer.Option("--temperature", help="Sample with it.")] = None
    top_k: Annotated[int | None, typer.Option("--top-k", help="Sample among so many tokens; 0: all.")] = None
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Sample among tokens of this probability together.")
    ] = None
    repetition_penalty: Annotated[float | None, typer.Option("--repetition-penalty")] = None
    prompt: Annotated[str | None, typer.Option("--prompt", help="What every report begins with.")] = None
    precision: Annotated[
        str | None, typer.Option("--precision", help="fp32, bf16 or int8 (faster; not of every model), as computed.")
    ] = None
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Studies a batch.")] = None

    def settings(self, plugin: type[Model]) -> GenerationSettings:
        """The settings for a model. Raises UserError for impossible ones, or where it has none of that name."""
        from benchmark import evaluate

        given = {
            "max_new_tokens": self.max_new_tokens,
            "num_beams": self.beams,
            "do_sample": self.sample or None,
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "repetition_penalty": self.repetition_penalty,
            "prompt": self.prompt,
            "precision": self.precision,
            "batch_size": self.batch_size,
        }
        return evaluate.named_settings(plugin, self.decoding, given)
