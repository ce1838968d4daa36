"""Hyper-parameter search with Optuna: trials are ordinary trainings, kept and resumed like any other."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import processes, provenance
from benchmark import train as training
from benchmark.console import say
from benchmark.contracts import Dataset, Model
from benchmark.errors import Diverged, UserError, unknown
from benchmark.store import cell, exclusive, write_text

RANGE_KEYS = frozenset({"low", "high", "times", "log", "step", "choices"})


@dataclass(frozen=True)
class Trial:
    """One training of a search."""

    number: int
    settings: Mapping[str, Any]
    value: float | None
    """The best epoch's; None where training diverged."""
    checkpoint: Path


@dataclass(frozen=True)
class Found:
    """What a search came to."""

    folder: Path
    measure: str
    """What `value` is: a column of history.csv."""
    higher_is_better: bool
    trials: list[Trial]
    """The best first, those that diverged last."""


def read_space(space: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Ranges by option, checked: `{"low": …, "high": …}`, with `log` and `step` if wished, `{"times": [a, b]}` (these
    times the preset's own value), or `{"choices": […]}`.

    Raises UserError for an unknown option or an impossible range.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, given in space.items():
        if key not in options:
            raise unknown("setting", key, options)
        asked = dict(given) if isinstance(given, Mapping) else {}
        if "times" in asked:
            times = asked.pop("times")
            asked["low"], asked["high"] = (options[key] * factor for factor in times)
        kinds = {"choices"} if "choices" in asked else {"low", "high"}
        if not kinds <= asked.keys() <= RANGE_KEYS or (kinds != {"choices"} and not asked["low"] < asked["high"]):
            raise UserError(f"The range of '{key}' takes low and high (log and step if wished), times, or choices.")
        values = asked.get("choices", [asked.get("low"), asked.get("high")])
        for value in values:
            training.check_overrides(options, {key: value})
        found[key] = asked
    if not found:
        raise UserError("The search space is empty: name at least one option with its range.")
    return found


def search(
    plugin: type[Model],
    recipe: training.Recipe,
    dataset: Dataset,
    results: Path,
    *,
    trials: int,
    space_file: Path | None,
    device: str,
    fresh: bool = False,
) -> Found:
    """Train until `trials` settings were tried, by the value of what `select_by` names; earlier trials count.

    The settings of a trial follow from the seed and the trials before it, so a search that was killed goes on to the
    same end. Raises UserError without Optuna, for an impossible space, or for what a training raises; one that diverges
    is a trial without a value.
    """
    options = {**training.all_options(plugin, recipe.preset), **recipe.overrides}
    space = read_space(training.read_values(space_file) if space_file else plugin.SEARCH, options)
    base = recipe.folder(results).name
    folder = results / "searches" / recipe.model / f"{base}-{provenance.digest(space)[:8]}"
    measure = f"validation_{options.get('select_by', 'loss')}"
    with exclusive(folder, "searching") if processes.first() else contextlib.nullcontext():
        study = _Study(folder, space, recipe.seed, options.get("select_by", "loss"), fresh)
        while (asked := processes.by_first(lambda: study.ask(trials))) is not None:
            number, settings = asked
            one = _recipe(plugin, recipe, settings)
            say(f"Trial {number + 1} of {trials}: {_words(settings)}")
            value: float | None = None
            try:
                output = training.train(plugin, one, dataset, results, device=device)
                value = _best(output, measure, study.higher_is_better)
            except Diverged as error:
                say(f"Trial {number + 1}: {error}")
            processes.by_first(functools.partial(study.tell, number, value))
        found = Found(folder, measure, study.higher_is_better, [])
        done = processes.by_first(study.done)
        for number, settings, value in done:
            one = _recipe(plugin, recipe, settings)
            found.trials.append(Trial(number, settings, value, one.folder(results)))
        if processes.first():
            write_text(folder / "trials.csv", _table(found))
    return found


class _Study:
    """Optuna's study in a journal file, asked and told by the first process alone."""

    def __init__(self, folder: Path, space: Mapping[str, Mapping[str, Any]], seed: int, select_by: str, fresh: bool):
        self.space = space
        self.seed = seed
        self.higher_is_better = select_by != "loss" and _higher_is_better(select_by)
        if processes.first():
            self.study = self._open(folder / "optuna.journal", fresh)

    def _open(self, journal: Path, fresh: bool) -> Any:
        try:
            import optuna
            from optuna.storages import JournalStorage
            from optuna.storages.journal import JournalFileBackend
        except ImportError:
            raise UserError("--search needs Optuna: pip install 'cxr-report-bench[search]'.") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if fresh:
            journal.unlink(missing_ok=True)
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name="search",
            direction="maximize" if self.higher_is_better else "minimize",
            load_if_exists=True,
        )

    def ask(self, trials: int) -> tuple[int, dict[str, Any]] | None:
        """The next trial's number and settings; None where there are enough. One that was killed comes first."""
        import optuna

        running = self.study.get_trials(states=[optuna.trial.TrialState.RUNNING])
        for trial in running:
            if trial.params.keys() == self.space.keys():
                return trial.number, dict(trial.params)
            self.study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # killed while it was asked for
        n = len(self.study.trials)
        if n >= trials:
            return None
        # The generator begins anew with each trial, so that nothing hangs on when the process was started.
        self.study.sampler = optuna.samplers.TPESampler(seed=(self.seed * 1_000_003 + n) % 2**32)
        trial = self.study.ask()
        return trial.number, {key: _suggest(trial, key, given) for key, given in self.space.items()}

    def tell(self, number: int, value: float | None) -> None:
        import optuna

        if value is None:
            self.study.tell(number, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(number, value)

    def done(self) -> list[tuple[int, dict[str, Any], float | None]]:
        sign = -1 if self.higher_is_better else 1
        told = [(trial.number, dict(trial.params), trial.value) for trial in self.study.trials]
        return sorted(told, key=lambda one: math.inf if one[2] is None else sign * one[2])


def _suggest(trial: Any, key: str, given: Mapping[str, Any]) -> Any:
    if "choices" in given:
        return trial.suggest_categorical(key, given["choices"])
    whole = isinstance(given["low"], int) and isinstance(given["high"], int)
    suggest = trial.suggest_int if whole else trial.suggest_float
    more = {"step": given["step"]} if "step" in given else {}
    return suggest(key, given["low"], given["high"], log=given.get("log", False), **more)


def _higher_is_better(select_by: str) -> bool:
    from benchmark import validation

    return validation.metric_of(select_by).HIGHER_IS_BETTER


def _recipe(plugin: type[Model], base: training.Recipe, settings: Mapping[str, Any]) -> training.Recipe:
    values = training.check_overrides(training.all_options(plugin, base.preset), settings)
    return training.make_recipe(base.model, plugin, base.preset, base.dataset, base.seed, {**base.overrides, **values})


def _best(checkpoint: Path, measure: str, higher_is_better: bool) -> float:
    from benchmark import evaluate

    values = [row[measure] for row in evaluate.read_history(checkpoint / "history.csv")]
    return max(values) if higher_is_better else min(values)


def _words(settings: Mapping[str, Any]) -> str:
    shown = {key: f"{value:.4g}" if isinstance(value, float) else value for key, value in settings.items()}
    return " ".join(f"{key}={value}" for key, value in shown.items())


def _table(found: Found) -> str:
    keys = list(found.trials[0].settings) if found.trials else []
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["trial", found.measure, *keys, "checkpoint"])
    for trial in found.trials:
        value = "" if trial.value is None else trial.value
        settings = (trial.settings[key] for key in keys)
        texts = (cell(each) if isinstance(each, str) else each for each in settings)
        rows.writerow([trial.number + 1, value, *texts, trial.checkpoint.name])
    return file.getvalue()
