"""Commands that measure speed, each against the usual way in the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark import config
from benchmark.cli._app import app, end
from benchmark.cli._options import DataOptions, Device, grouped
from benchmark.console import say, table
from benchmark.errors import UserError

speed_app = typer.Typer(help="Measure speed, side by side with the usual way.", no_args_is_help=True)
app.add_typer(speed_app, name="speed")

JsonOut = Annotated[Path | None, typer.Option("--json", help="Write the rows to this file too.")]


@speed_app.command("data")
def speed_data(json_out: JsonOut = None) -> None:
    """Images a second: Pillow at each epoch, making the image cache, reading it."""
    from benchmark.speed.data import data

    results = config.results_folder()
    results.mkdir(parents=True, exist_ok=True)
    rows = data(scratch=results)
    shown = [{"ratio a core": f"{row['per_core']:,.2f}"} for row in rows]
    caption = f"Mean difference from resizing the whole picture: {rows[0]['difference']:.3f} grey levels."
    keep("data", "Seconds an image", rows, json_out, shown, caption)


@speed_app.command("score")
@grouped
def speed_score(
    source: DataOptions,
    pairs: Annotated[int, typer.Option("--pairs", min=2, help="Of each model.")] = 2347,
    models: Annotated[int, typer.Option("--models", min=1, help="Of the leaderboard.")] = 10,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Of which the median counts.")] = 3,
    json_out: JsonOut = None,
) -> None:
    """Scoring, beside pycocoevalcap, rouge-score and bert-score called one by one on texts made of a data set's."""
    from benchmark.opening import PHANTOM
    from benchmark.speed.score import score

    dataset = source.open(source.dataset or PHANTOM)
    references = [reference for split in dataset.splits for reference in dataset.references(split)]
    reports = [" ".join(filter(None, (each.findings, each.impression))) for each in references]
    rows = score(reports, pairs, models, rounds)
    shown = [{"difference": f"{row['difference']:.1e}", "equal": "yes" if row["equal"] else "NO"} for row in rows]
    keep("score", f"Seconds of scoring texts of {dataset.name}", rows, json_out, shown)
    end(sum(not row["equal"] for row in rows))


@speed_app.command("generate")
def speed_generate(
    device: Device = None,
    batch_sizes: Annotated[str, typer.Option("--batch-sizes", help="Studies at a time, divided by commas.")] = "1,8,32",
    precisions: Annotated[str, typer.Option("--precisions", help="Of ours, divided by commas.")] = "fp32,bf16,int8",
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="Of each report.")] = 100,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Of which the median counts.")] = 3,
    json_out: JsonOut = None,
) -> None:
    """Reports in the original's size, beside transformers' generate and a loop without a cache."""
    from benchmark.evaluate import choose_device
    from benchmark.speed.generate import BYTES, generate

    sizes = [size.strip() for size in batch_sizes.split(",")]
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise UserError(f"--batch-sizes takes numbers divided by commas, such as 1,8,32, not '{batch_sizes}'.")
    kinds = [kind.strip() for kind in precisions.split(",")]
    if not set(kinds) <= set(BYTES):
        raise UserError(f"--precisions takes any of {','.join(BYTES)}, not '{precisions}'.")
    results = config.results_folder()
    results.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"tokens": tokens, "rounds": rounds, "device": choose_device(device)}
    rows = generate(results, batch_sizes=list(map(int, sizes)), precisions=kinds, **options)
    shown = [
        {
            "ratio a core": f"{row['per_core']:,.2f}",
            "same texts": f"{row['same_texts']:.0%} of {row['texts_compared']}",
            **_costs(row),
        }
        for row in rows
    ]
    keep("generate", f"Seconds a report of {tokens} tokens", rows, json_out, shown, "The peers compute in fp32.")


@speed_app.command("train")
def speed_train(
    device: Device = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Studies a pass; the original has 8.")] = 8,
    accumulation: Annotated[int, typer.Option("--accumulation", min=1, help="Passes a step; the original has 4.")] = 4,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of each run, after the first.")] = 2,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Of which the median counts.")] = 3,
    json_out: JsonOut = None,
) -> None:
    """A training step in the original's size, beside the original's plain loop."""
    from benchmark.evaluate import choose_device
    from benchmark.speed.train import train

    results = config.results_folder()
    results.mkdir(parents=True, exist_ok=True)
    rows = train(
        results,
        device=choose_device(device),
        batch_size=batch_size,
        accumulation=accumulation,
        steps=steps,
        rounds=rounds,
    )
    shown = [
        {
            **_costs(row),
            "loss": f"{row['loss']:.3f}",
            "its loss": f"{row['peer_loss']:.3f}",
        }
        for row in rows
    ]
    keep("train", f"Seconds a step of {batch_size * accumulation} studies", rows, json_out, shown)


def _costs(row: dict[str, Any]) -> dict[str, str]:
    return {
        "memory (MB)": f"{row['memory_mb']:,.0f}",
        "its memory": f"{row['peer_memory_mb']:,.0f}",
        "of the roofline": f"{row['of_roofline']:.0%}",
    }


@speed_app.command("site")
def speed_site(
    runs: Annotated[
        int, typer.Option("--runs", min=2, help="Of the leaderboard, by copying those that are here.")
    ] = 60,
) -> None:
    """Build the pages of a large leaderboard, with the studies of the runs here, and weigh them."""
    import tempfile
    from dataclasses import asdict

    from benchmark.speed.site import measure

    results = config.results_folder()
    with tempfile.TemporaryDirectory(dir=results if results.is_dir() else None) as scratch:
        found = asdict(measure(results, runs, Path(scratch)))
    shown = {key: f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" for key, value in found.items()}
    table("The pages of a large leaderboard", dict.fromkeys(shown, "right"), [shown])


def keep(
    what: str,
    title: str,
    rows: list[dict[str, Any]],
    json_out: Path | None,
    more: list[dict[str, str]] | None = None,
    caption: str = "",
) -> None:
    """Show the rows, with further columns, and write them to results/speed/`what`.csv and where the user said."""
    from benchmark import store
    from benchmark.speed import measure

    shown = [
        {
            "what": row["name"],
            "beside": row["peer"],
            "seconds": f"{row['ours_s']:.4g}",
            "its seconds": f"{row['peer_s']:.4g}",
            "ratio": f"{row['ratio']:,.2f}",
            **further,
        }
        for row, further in zip(rows, more or [{}] * len(rows), strict=True)
    ]
    columns = {column: "left" if column in ("what", "beside") else "right" for column in shown[0]}
    table(title, columns, shown, caption)
    if json_out is not None:
        store.write_text(json_out, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    say(f"Wrote {measure.write(config.results_folder(), what, rows)}")
