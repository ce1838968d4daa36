"""The whole benchmark in one go: phantom, vgpt2 trained, baselines and vgpt2 evaluated, leaderboard."""

from __future__ import annotations

from pathlib import Path

from benchmark import compare, evaluate, leaderboard, opening, registry
from benchmark import train as training
from benchmark.console import say
from benchmark.contracts import MetricContext, Model
from benchmark.schema import GenerationSettings

MODEL = "vgpt2"
SPLIT = "val"
SMALL = {"n_train": 96, "n_validate": 24, "n_test": 8}


def quickstart(results: Path, *, small: bool = False, device: str | None = None) -> str:
    """Run every stage as the single commands would; each goes on where it was interrupted.

    `small` takes a phantom and a training of seconds: it shows that everything works, not that the model has learned.
    Returns the name of the leaderboard.
    """
    from benchmark import score

    root = None
    if small:
        root = results / "data" / "phantom-small"
        opening.provide(opening.PHANTOM, root, **SMALL)
    dataset = opening.open_dataset(opening.PHANTOM, root, None, results)

    plugin: type[Model] = registry.MODELS.load(MODEL)
    preset = training.choose_preset(plugin, dataset, None)
    overrides = {"epochs": 1} if small else {}
    say(f"Training {MODEL} with preset {preset} on {dataset.name}.")
    recipe = training.Recipe(MODEL, preset, dataset.name, 0, overrides)
    checkpoint = training.train(plugin, recipe, dataset, results, device=evaluate.choose_device(device))

    selection = evaluate.select(dataset, SPLIT, None)
    context = MetricContext()
    metrics = score.load_metrics(context)
    for model in (MODEL, *_baselines()):
        for control in ("", "shuffle") if model == MODEL else ("",):
            run = evaluate.write_reports(
                model,
                dataset,
                selection,
                GenerationSettings(),
                results,
                checkpoint=checkpoint if model == MODEL else None,
                control=control,
                device=device,
            )
            evaluate.score_run(run, selection, results, context, metrics)
    compare.refresh(results, dataset.name, selection.short)
    leaderboard.write(results)
    return f"{dataset.name}-{selection.short}"


def _baselines() -> list[str]:
    """Models that train in seconds and ignore the images."""
    return [name for name in registry.MODELS.names() if registry.MODELS.load(name).INSTANT]
