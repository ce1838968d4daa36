"""Several models, seeds and splits: each trained, evaluated and scored, and the leaderboards of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark import compare, evaluate, leaderboard, registry, score
from benchmark import train as training
from benchmark.console import say
from benchmark.contracts import Dataset, MetricContext, Model
from benchmark.errors import Busy
from benchmark.schema import GenerationSettings


def sweep(
    dataset: Dataset,
    models: Sequence[str],
    results: Path,
    *,
    seeds: Sequence[int] = (0,),
    splits: Sequence[str] = ("val",),
    preset: str | None = None,
    changes: Sequence[str] = (),
    context: MetricContext | None = None,
    device: str | None = None,
) -> list[str]:
    """Do what is missing of a sweep; returns the names of its leaderboards, which are written.

    Models that ignore images are trained once; the others with every seed, with `changes` (`key=value`) to their
    preset, and they are evaluated with shuffled images too, for the grounding gap. Several processes, also of several
    machines that see `results`, may run the same sweep: what one is at, the others pass over. Raises UserError where a
    model cannot do its part.
    """
    # All that can be wrong with what was asked for is said before the first training.
    selections = [evaluate.select(dataset, split, None) for split in splits]
    recipes = [
        _recipe(name, dataset, seed, preset, changes)
        for seed in seeds
        for name in models
        if seed == seeds[0] or registry.MODELS.load(name).NEEDS_IMAGES
    ]
    passed = 0
    made: list[tuple[str, Path]] = []
    for recipe in recipes:
        plugin: type[Model] = registry.MODELS.load(recipe.model)
        where = evaluate.choose_device(device) if plugin.NEEDS_IMAGES else "cpu"
        say(f"{recipe.model}, preset {recipe.preset}, seed {recipe.seed}.")
        try:
            made.append((recipe.model, training.train(plugin, recipe, dataset, results, device=where)))
        except Busy as error:
            say(str(error))
            passed += 1
    context = context or MetricContext()
    metrics = score.load_metrics(context)
    boards = []
    for selection in selections:
        for name, checkpoint in made:
            for control in ("", "shuffle") if registry.MODELS.load(name).NEEDS_IMAGES else ("",):
                try:
                    run = evaluate.write_reports(
                        name,
                        dataset,
                        selection,
                        GenerationSettings(),
                        results,
                        checkpoint=checkpoint,
                        control=control,
                        device=device,
                    )
                    evaluate.score_run(run, selection, results, context, metrics)
                except Busy as error:
                    say(str(error))
                    passed += 1
        compare.refresh(results, dataset.name, selection.short)
        boards.append(f"{dataset.name}-{selection.short}")
    leaderboard.write(results)
    if passed:
        say(f"{passed} parts are in the hands of other processes. When they have ended, run the same command again.")
    return boards


def _recipe(name: str, dataset: Dataset, seed: int, preset: str | None, changes: Sequence[str]) -> training.Recipe:
    plugin: type[Model] = registry.MODELS.load(name)
    if not plugin.NEEDS_IMAGES:
        preset, changes = None, ()
    chosen = training.choose_preset(plugin, dataset, preset)
    values = training.parse_overrides(training.all_options(plugin, chosen), list(changes))
    return training.make_recipe(name, plugin, chosen, dataset.name, seed, values)
