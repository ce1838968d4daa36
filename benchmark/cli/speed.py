"""Commands that measure speed, each against the usual way in the same run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmark import config
from benchmark.cli._app import app
from benchmark.cli._options import Device
from benchmark.console import say, table

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
            "memory (MB)": f"{row['memory_mb']:,.0f}",
            "its memory": f"{row['peer_memory_mb']:,.0f}",
            "of the roofline": f"{row['of_roofline']:.0%}",
            "loss": f"{row['loss']:.3f}",
            "its loss": f"{row['peer_loss']:.3f}",
        }
        for row in rows
    ]
    keep("train", f"Seconds a step of {batch_size * accumulation} studies", rows, json_out, shown)


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
