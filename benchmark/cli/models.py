"""Commands that train and run models: train, eval, generate, quickstart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark import config, launch, processes
from benchmark.cli._app import app, end
from benchmark.cli._options import (
    AsJson,
    Changes,
    CheckpointPath,
    DataOptions,
    Device,
    ExtraMetrics,
    GenerationOptions,
    GenerationSeed,
    Limit,
    MetricOptions,
    ModelName,
    Preset,
    Processes,
    Protocols,
    Split,
    TrainingSeed,
    Words,
    check_metrics,
    check_protocols,
    grouped,
)
from benchmark.cli._tables import print_board
from benchmark.cli.runs import conclude, under_protocols
from benchmark.console import say, table
from benchmark.errors import UserError
from benchmark.registry import MODELS

Control = Annotated[str, typer.Option("--control", help="shuffle or blank: what the scores lose without the image.")]


@app.command()
@grouped
def train(
    model: ModelName,
    source: DataOptions,
    preset: Preset = None,
    changes: Changes = None,
    seed: TrainingSeed = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what an earlier training left and begin anew.")
    ] = False,
    settings_file: Annotated[
        Path | None, typer.Option("--config", help="TOML or JSON file of such values; --set goes before it.")
    ] = None,
    search: Annotated[
        int | None, typer.Option("--search", min=1, help="Try so many settings (Optuna) instead of one.")
    ] = None,
    space: Annotated[Path | None, typer.Option("--space", help="With --search: TOML or JSON file of ranges.")] = None,
    device: Device = None,
    nproc: Processes = None,
) -> None:
    """Train a model; run again after an interruption it goes on."""
    MODELS.expect(model)
    if space is not None and search is None:
        raise UserError("--space holds the ranges of a search: say with --search how many settings to try.")
    if launch.in_processes(nproc, device):
        return
    from benchmark import evaluate
    from benchmark import search as searching
    from benchmark import train as training

    plugin, results = MODELS.load(model), config.results_folder()
    values = training.read_values(settings_file) if settings_file else {}
    values |= training.read_settings(changes or [])
    training.check_asked(plugin, preset, values)
    chosen_device = evaluate.choose_device(device) if plugin.NEEDS_IMAGES else "cpu"
    data = processes.first_before_others(source.open)
    chosen = training.choose_preset(plugin, data, preset)
    say(f"Preset: {chosen} ({'as named' if preset else f'default for {data.name}'}).")
    values = training.check_overrides(training.all_options(plugin, chosen), values)
    recipe = training.make_recipe(model, plugin, chosen, data.name, seed, values)
    if search is None:
        training.train(plugin, recipe, data, results, device=chosen_device, fresh=fresh)
        return
    found = searching.search(
        plugin, recipe, data, results, trials=search, space_file=space, device=chosen_device, fresh=fresh
    )
    if processes.first():
        _print_trials(found)


@app.command("eval")
@grouped
def evaluate_command(
    model: ModelName,
    source: DataOptions,
    scoring: MetricOptions,
    decoding: GenerationOptions,
    split: Split = "val",
    checkpoint: CheckpointPath = None,
    tokenizer: Words = "",
    preset: Preset = None,
    changes: Changes = None,
    limit: Limit = None,
    seed: GenerationSeed = 0,
    control: Control = "",
    device: Device = None,
    metric: ExtraMetrics = None,
    protocol: Protocols = "",
    nproc: Processes = None,
    as_json: AsJson = False,
) -> None:
    """Generate reports for a split and score them; run again after an interruption it goes on."""
    # An unknown name is said before any work is done.
    MODELS.expect(model)
    extra, names = check_metrics(metric), check_protocols(protocol)
    if launch.in_processes(nproc, device):
        return
    from benchmark import evaluate, rescore

    plugin, results = MODELS.load(model), config.results_folder()
    settings = decoding.settings(plugin)
    evaluate.check_asked(model, plugin, results, checkpoint, preset, changes or [], control)
    data = processes.first_before_others(source.open)
    selection = evaluate.select(data, split, limit)
    options: dict[str, Any] = {"checkpoint": checkpoint, "words": tokenizer, "preset": preset}
    options |= {"changes": changes or [], "seed": seed, "device": device}
    folder = evaluate.write_reports(model, data, selection, settings, results, control=control, **options)
    if not processes.first():
        return
    context = scoring.context()
    scores = evaluate.score_run(folder, selection, results, context, extra=extra)
    scores, refused = under_protocols(scores, folder, data, results, rescore.Order(names, context=context))
    conclude(folder.path, scores, results, as_json)
    end(_report_errors(folder) + selection.n_damaged + refused)


@app.command()
@grouped
def generate(
    model: ModelName,
    source: DataOptions,
    decoding: GenerationOptions,
    images: Annotated[Path | None, typer.Option("--images", help="A folder of pictures instead of a data set.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="With --images: the JSONL file to write.")] = None,
    split: Split = "val",
    checkpoint: CheckpointPath = None,
    tokenizer: Words = "",
    preset: Preset = None,
    changes: Changes = None,
    limit: Limit = None,
    seed: GenerationSeed = 0,
    control: Control = "",
    device: Device = None,
    nproc: Processes = None,
) -> None:
    """Write reports: the first half of `eval`, or for a folder of loose pictures."""
    MODELS.expect(model)
    if images is None and out is not None:
        raise UserError("--out is for --images; the reports of a data set are written into a run folder.")
    if images is not None and (source.dataset or limit or control):
        raise UserError("--images are loose pictures: without --dataset, --limit and --control.")
    if launch.in_processes(nproc, device):
        return
    from benchmark import evaluate, loose

    plugin, results = MODELS.load(model), config.results_folder()
    settings = decoding.settings(plugin)
    evaluate.check_asked(model, plugin, results, checkpoint, preset, changes or [], control)
    options: dict[str, Any] = {"checkpoint": checkpoint, "words": tokenizer, "preset": preset}
    options |= {"changes": changes or [], "seed": seed, "device": device}
    if images is not None:
        written = loose.describe_images(model, images, settings, results, out=out, **options)
        say(f"Wrote {written.path} ({written.n} reports).")
        end(_say_errors(written.errors))
    data = processes.first_before_others(source.open)
    selection = evaluate.select(data, split, limit)
    folder = evaluate.write_reports(model, data, selection, settings, results, control=control, **options)
    say(f"Run: {folder.path}")
    end(0 if not processes.first() else _report_errors(folder) + selection.n_damaged)


@app.command("sweep")
@grouped
def sweep_command(
    models: Annotated[
        list[str], typer.Argument(help="Names from `bench models`; `baselines` for all that ignore images.")
    ],
    source: DataOptions,
    scoring: MetricOptions,
    seeds: Annotated[str, typer.Option("--seeds", help="Of training, divided by commas.")] = "0",
    splits: Annotated[str, typer.Option("--splits", help="Divided by commas.")] = "val",
    preset: Preset = None,
    changes: Changes = None,
    device: Device = None,
) -> None:
    """Train several models with several seeds, evaluate them (also on shuffled images), write the leaderboards.

    What is done already is not done again, and several processes may share one sweep.
    """
    from benchmark import leaderboard as boards
    from benchmark import train as training
    from benchmark.quickstart import baselines
    from benchmark.sweep import sweep

    if not all(seed.strip().isdecimal() for seed in seeds.split(",")):
        raise UserError(f"--seeds takes numbers divided by commas, such as 0,1,2, not '{seeds}'.")
    results = config.results_folder()
    names = [each for name in models for each in (baselines() if name == "baselines" else [name])]
    for plugin in map(MODELS.load, names):
        if plugin.NEEDS_IMAGES:
            training.check_asked(plugin, preset, training.read_settings(changes or []))
    found = sweep(
        source.open(),
        list(dict.fromkeys(names)),
        results,
        seeds=[int(seed) for seed in seeds.split(",")],
        splits=[split.strip() for split in splits.split(",")],
        preset=preset,
        changes=changes or [],
        context=scoring.context(),
        device=device,
    )
    for board in boards.boards(results):
        if board.name in found:
            print_board(board)
            say(f"Wrote {results / board.name}.csv and .md")


@app.command()
def quickstart(
    small: Annotated[bool, typer.Option("--small", help="Seconds of training: shows that all works, no more.")] = False,
    device: Device = None,
) -> None:
    """Make the phantom, train vgpt2, evaluate it and the baselines, show the leaderboard."""
    from benchmark import leaderboard as boards
    from benchmark import quickstart as stages

    results = config.results_folder()
    name = stages.quickstart(results, small=small, device=device)
    for board in boards.boards(results):
        if board.name == name:
            print_board(board)
    say(f"Wrote {results / name}.csv and .md")


def _print_trials(found: Any) -> None:
    rows = []
    for trial in found.trials:
        settings = {key: f"{value:.3g}" if isinstance(value, float) else value for key, value in trial.settings.items()}
        value = "diverged" if trial.value is None else f"{trial.value:.4f}"
        rows.append({"trial": trial.number + 1, found.measure: value, **settings, "checkpoint": trial.checkpoint.name})
    right = dict.fromkeys([found.measure, *found.trials[0].settings], "right")
    best = found.trials[0].checkpoint
    table("Trials", {"trial": "right", **right, "checkpoint": "left"}, rows, f"Best: {best}")
    say(f"Wrote {found.folder / 'trials.csv'}")


def _report_errors(folder: Any) -> int:
    predictions = folder.read().values()
    n_unread = _say_some({p.study_id: " ".join(p.unread) for p in predictions if p.unread}, "Not all views read of")
    return n_unread + _say_errors({p.study_id: p.error for p in predictions if p.error})


def _say_errors(errors: Mapping[str, str]) -> int:
    return _say_some(errors, "No report for")


def _say_some(sentences: Mapping[str, str], what: str) -> int:
    """Tell of the first studies; returns how many there are."""
    for study, sentence in list(sentences.items())[:5]:
        say(f"{what} {study}: {sentence}")
    if len(sentences) > 5:
        say(f"{what} {len(sentences) - 5} more; all are in predictions.jsonl.")
    return len(sentences)
