"""The command `bench`. Commands are thin; what is heavy is imported inside their bodies."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark import config
from benchmark.console import say, table
from benchmark.errors import UserError
from benchmark.registry import DATASETS, METRICS, MODELS

app = typer.Typer(
    name="bench",
    help="Benchmark for chest X-ray report generation: train, evaluate, compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data_app = typer.Typer(help="Make and look at data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

FINISHED_WITH_PROBLEMS = 3
"""Exit status where all was done but some input was broken, so that a script can tell."""

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""

ModelName = Annotated[str, typer.Argument(help="A name from `bench models`.")]
DatasetName = Annotated[str | None, typer.Option("--dataset", help="A name from `bench datasets`.")]
Root = Annotated[Path | None, typer.Option("--root", help="Folder of the data set.")]
ReportsRoot = Annotated[Path | None, typer.Option("--reports-root", help="Folder of the reports, where it is another.")]
Split = Annotated[str, typer.Option("--split", help="train, val or test.")]
CheckpointPath = Annotated[Path | None, typer.Option("--checkpoint", help="Folder; else the newest that fits.")]
Preset = Annotated[str | None, typer.Option("--preset", help="See `bench models NAME`; else what fits the data set.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N studies; kept off leaderboards.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, cuda:1, mps; else the best there is.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Encoder = Annotated[str, typer.Option("--bertscore-encoder", help="Folder or hub id; else the MiniLM package.")]
Control = Annotated[str, typer.Option("--control", help="shuffle or blank: what the scores lose without the image.")]
GenerationSeed = Annotated[int, typer.Option("--seed", help="Seed of generation.")]
MaxNewTokens = Annotated[int | None, typer.Option("--max-new-tokens", help="Longest report, in tokens.")]
Beams = Annotated[int | None, typer.Option("--beams", help="Beam search with so many beams.")]
Sample = Annotated[bool, typer.Option("--sample", help="Sample instead of taking the likeliest token.")]
Temperature = Annotated[float | None, typer.Option("--temperature", help="With --sample.")]
TopK = Annotated[int | None, typer.Option("--top-k", help="With --sample; 0: no limit.")]
TopP = Annotated[float | None, typer.Option("--top-p", help="With --sample.")]
RepetitionPenalty = Annotated[float | None, typer.Option("--repetition-penalty")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Studies a batch.")]


@app.command()
def train(
    model: ModelName,
    dataset: DatasetName = None,
    root: Root = None,
    reports_root: ReportsRoot = None,
    preset: Preset = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="key=value in place of a preset's value.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of training.")] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what an earlier training left and begin anew.")
    ] = False,
    device: Device = None,
) -> None:
    """Train a model; run again after an interruption it goes on."""
    from benchmark import evaluate
    from benchmark import train as training

    plugin, results = MODELS.load(model), config.results_folder()
    data = evaluate.open_dataset(dataset, root, reports_root, results)
    chosen = training.choose_preset(plugin, data, preset)
    say(f"Preset: {chosen} ({'as named' if preset else f'default for {data.name}'}).")
    overrides = training.parse_overrides(plugin.PRESETS[chosen], settings or [])
    recipe = training.Recipe(model, chosen, data.name, seed, overrides)
    chosen_device = evaluate.choose_device(device) if plugin.NEEDS_IMAGES else "cpu"
    training.train(plugin, recipe, data, results, device=chosen_device, fresh=fresh)


@app.command("eval")
def evaluate_command(
    model: ModelName,
    dataset: DatasetName = None,
    split: Split = "val",
    root: Root = None,
    reports_root: ReportsRoot = None,
    checkpoint: CheckpointPath = None,
    preset: Preset = None,
    limit: Limit = None,
    seed: GenerationSeed = 0,
    control: Control = "",
    max_new_tokens: MaxNewTokens = None,
    beams: Beams = None,
    sample: Sample = False,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    repetition_penalty: RepetitionPenalty = None,
    batch_size: BatchSize = None,
    device: Device = None,
    bertscore_encoder: Encoder = "",
    as_json: AsJson = False,
) -> None:
    """Generate reports for a split and score them; run again after an interruption it goes on."""
    from benchmark import evaluate
    from benchmark.contracts import MetricContext

    settings = evaluate.default_settings(
        max_new_tokens=max_new_tokens,
        num_beams=beams,
        do_sample=sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        batch_size=batch_size,
    )
    results = config.results_folder()
    MODELS.load(model)  # an unknown name is said before any work is done
    data = evaluate.open_dataset(dataset, root, reports_root, results)
    selection = evaluate.select(data, split, limit)
    options: dict[str, Any] = {
        "checkpoint": checkpoint,
        "preset": preset,
        "seed": seed,
        "control": control,
        "device": device,
    }
    folder = evaluate.write_reports(model, data, selection, settings, results, **options)
    scores = evaluate.score_run(folder, selection, results, MetricContext(encoder=bertscore_encoder))
    say(f"Run: {folder.path}")
    if as_json:
        print(json.dumps(scores, indent=1, ensure_ascii=False))
    else:
        _print_scores(f"{model} on {data.name}-{selection.short}", scores["sections"])
    _end(_report_errors(folder) + selection.n_damaged)


@app.command()
def generate(
    model: ModelName,
    images: Annotated[Path | None, typer.Option("--images", help="A folder of pictures instead of a data set.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="With --images: the JSONL file to write.")] = None,
    dataset: DatasetName = None,
    split: Split = "val",
    root: Root = None,
    reports_root: ReportsRoot = None,
    checkpoint: CheckpointPath = None,
    preset: Preset = None,
    limit: Limit = None,
    seed: GenerationSeed = 0,
    control: Control = "",
    max_new_tokens: MaxNewTokens = None,
    beams: Beams = None,
    sample: Sample = False,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    repetition_penalty: RepetitionPenalty = None,
    batch_size: BatchSize = None,
    device: Device = None,
) -> None:
    """Write reports: the first half of `eval`, or for a folder of loose pictures."""
    from benchmark import evaluate, loose

    settings = evaluate.default_settings(
        max_new_tokens=max_new_tokens,
        num_beams=beams,
        do_sample=sample,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        batch_size=batch_size,
    )
    results = config.results_folder()
    MODELS.load(model)
    options: dict[str, Any] = {"checkpoint": checkpoint, "preset": preset, "seed": seed, "device": device}
    if images is not None:
        written = loose.describe_images(model, images, settings, results, out=out, **options)
        say(f"Wrote {written.path} ({written.n} reports).")
        _end(_say_errors(written.errors))
    data = evaluate.open_dataset(dataset, root, reports_root, results)
    selection = evaluate.select(data, split, limit)
    folder = evaluate.write_reports(model, data, selection, settings, results, control=control, **options)
    say(f"Run: {folder.path}")
    _end(_report_errors(folder) + selection.n_damaged)


@app.command()
def score(
    hypotheses: Annotated[Path, typer.Argument(help="A JSONL of study_id and text, or a run folder.")],
    references: Annotated[Path | None, typer.Option("--references", help="A JSONL of study_id and text.")] = None,
    section: Annotated[
        str, typer.Option("--section", help="findings, impression or report, where lines have them.")
    ] = "",
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file.")] = None,
    root: Root = None,
    reports_root: ReportsRoot = None,
    bertscore_encoder: Encoder = "",
) -> None:
    """Score texts against references, or a run folder against its data set."""
    from benchmark import rescore
    from benchmark.contracts import MetricContext

    context = MetricContext(encoder=bertscore_encoder)
    if hypotheses.is_dir():
        sections = rescore.score_folder(hypotheses, root, reports_root, config.results_folder(), context)
        content: dict[str, Any] = {"sections": sections}
    else:
        if references is None:
            raise UserError("Name the references with --references (a JSONL of study_id and text).")
        scored = rescore.score_files(hypotheses, references, section, context)
        sections, content = {section or "text": scored}, scored
    _print_scores(hypotheses.name, sections)
    if json_out is not None:
        from benchmark.store import write_json

        write_json(json_out, content)


@app.command()
def leaderboard(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where a file is not up to date.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the leaderboards under results/ from the aggregated scores, and show them."""
    from benchmark import leaderboard as boards

    results = config.results_folder()
    if check:
        wrong = boards.outdated(results)
        if wrong:
            names = ", ".join(map(str, wrong))
            raise UserError(f"Not what the scores under {results / 'scores'} give: {names}. Run `bench leaderboard`.")
        say("All leaderboards are what the scores give.")
        return
    found = boards.write(results)
    if not found:
        raise UserError(f"No scores under {results / 'scores'} yet. Run `bench eval MODEL --split val` first.")
    if as_json:
        print(json.dumps({board.name: board.rows for board in found}, indent=1, ensure_ascii=False))
        return
    for board in found:
        _print_board(board)
        say(f"Wrote {results / board.name}.csv and .md")


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="One model's card.")] = None, as_json: AsJson = False
) -> None:
    """List the models, or tell about one."""
    if name is None:
        _listing("Models", [{"name": each, "what it is": MODELS.summary(each)} for each in MODELS.names()], as_json)
        return
    plugin = MODELS.load(name)
    card = {
        "name": name,
        "summary": MODELS.summary(name),
        "paper": plugin.PAPER,
        "trains": plugin.CAN_TRAIN,
        "needs_images": plugin.NEEDS_IMAGES,
        "note": plugin.NOTE,
        "presets": {preset: dict(values) for preset, values in plugin.PRESETS.items()},
    }
    if as_json:
        print(json.dumps(card, indent=1, ensure_ascii=False))
        return
    presets = card.pop("presets")
    _listing(name, [{"": key, " ": str(value)} for key, value in card.items()], False)
    keys = sorted({key for values in presets.values() for key in values})
    rows = [{"setting": key, **{p: str(values.get(key, "")) for p, values in presets.items()}} for key in keys]
    if rows:
        _listing("Presets", rows, False)


@app.command()
def datasets(as_json: AsJson = False) -> None:
    """List the data sets and where they were found."""
    rows = [
        {"name": name, "what it is": DATASETS.summary(name), "root": str(config.data_root(name) or "")}
        for name in DATASETS.names()
    ]
    _listing("Data sets", rows, as_json)


@app.command()
def metrics(as_json: AsJson = False) -> None:
    """List the metrics."""
    _listing("Metrics", [{"name": name, "what it is": METRICS.summary(name)} for name in METRICS.names()], as_json)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what works here and what to do about what does not."""
    from dataclasses import asdict

    from benchmark.doctor import checks

    found = checks(config.results_folder())
    if as_json:
        print(json.dumps([asdict(check) for check in found], indent=1, ensure_ascii=False))
        return
    rows = [{"": "✓" if c.ok else "–", "what": c.name, "found": c.found, "what to do": c.remedy} for c in found]
    _listing("What works here", rows, False)


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
            _print_board(board)
    say(f"Wrote {results / name}.csv and .md")


@data_app.command("make")
def make_data(
    name: Annotated[str, typer.Argument(help="A data set that can make itself: phantom.")],
    root: Annotated[Path, typer.Option("--root", help="Folder to write it to.")],
    n_train: Annotated[int, typer.Option("--train", min=1, help="Studies to train on.")] = 4800,
    n_validate: Annotated[int, typer.Option("--validate", min=1, help="Studies of validation.")] = 200,
    n_test: Annotated[int, typer.Option("--test", min=1, help="Studies of test.")] = 200,
    size: Annotated[int, typer.Option("--size", min=64, max=3000, help="Longer side of the images in pixels.")] = 160,
    prevalence: Annotated[float, typer.Option("--prevalence", min=0, max=3, help="Times the usual share.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
) -> None:
    """Make a variant of a data set; it has a name of its own, so unlike rows never meet."""
    from benchmark import evaluate

    options = {"n_train": n_train, "n_validate": n_validate, "n_test": n_test}
    made = evaluate.provide(name, root, **options, long_side=size, prevalence=prevalence, seed=seed)
    say(f"{made.name}: {root}")


def _listing(title: str, rows: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
    else:
        table(title, dict.fromkeys(rows[0] if rows else (), "left"), rows)


def _print_scores(title: str, sections: dict[str, Any]) -> None:
    rows = []
    for section, scored in sections.items():
        for key, metric in scored["metrics"].items():
            value, low, high = metric["value"], metric.get("low"), metric.get("high")
            rows.append(
                {
                    "section": section,
                    "metric": key,
                    "value": "–" if value is None else f"{value:.4f}",
                    "95 % interval": "" if low is None or high is None else f"{low:.4f}–{high:.4f}",
                    "n": str(metric["n_scored"]),
                    "unscored": str(metric["n_unscored"]),
                    "signature": metric.get("reason") or metric["signature"],
                }
            )
    columns = {"section": "left", "metric": "left", "value": "right", "95 % interval": "right", "n": "right"}
    table(title, {**columns, "unscored": "right", "signature": "left"}, rows)


def _print_board(board: Any) -> None:
    from benchmark import leaderboard as boards
    from benchmark.schema import SECTIONS

    words = {"model", "preset", "note"}
    columns = {heading: "left" if column in words else "right" for column, heading in boards.SHOWN.items()}
    for section in SECTIONS:
        rows = boards.shown_rows(board, section)
        if rows:
            table(f"{board.name}: {section}", columns, rows, boards.EXPLANATION)


def _report_errors(folder: Any) -> int:
    errors = {p.study_id: p.error for p in folder.read().values() if p.error}
    return _say_errors(errors)


def _say_errors(errors: Mapping[str, str]) -> int:
    for study, error in list(errors.items())[:5]:
        say(f"No report for {study}: {error}")
    if len(errors) > 5:
        say(f"… and {len(errors) - 5} more without a report; all are in predictions.jsonl.")
    return len(errors)


def _end(problems: int) -> None:
    raise typer.Exit(FINISHED_WITH_PROBLEMS if problems else 0)


def main() -> None:
    """Entry point of `bench`: a user's mistake ends in one sentence and a status that is not 0."""
    try:
        app()
    except UserError as error:
        say(f"Error: {error}")
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as end:
        # typer turns ctrl-C into an exit with this status, without a word.
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        say("\nInterrupted. What was written is kept; run the same command again and it goes on.")
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno == errno.EPIPE:
            sys.exit(141)
        where = f" {error.filename}" if error.filename else ""
        say(f"Error: {error.strerror or error}:{where}. {_ADVICE.get(error.errno or 0, 'Nothing was written half.')}")
        sys.exit(1)


_ADVICE = {
    errno.ENOSPC: "Free some disk space and run the same command again; it goes on.",
    errno.EDQUOT: "Your quota is used up: free some space and run the same command again; it goes on.",
    errno.EACCES: "Ask for the right to write there, or name another folder with BENCH_RESULTS.",
    errno.EROFS: "That disk cannot be written to; name another folder with BENCH_RESULTS.",
}


if __name__ == "__main__":
    main()
