"""Commands that measure speed, each against the usual way in the same run."""

from __future__ import annotations

import json

import typer

from benchmark import config
from benchmark.cli._app import app
from benchmark.cli._options import AsJson
from benchmark.console import say, table

speed_app = typer.Typer(help="Measure speed, side by side with the usual way.", no_args_is_help=True)
app.add_typer(speed_app, name="speed")


@speed_app.command("data")
def speed_data(as_json: AsJson = False) -> None:
    """Images a second: Pillow at each epoch, making the image cache, reading it."""
    from benchmark import speed

    results = config.results_folder()
    found = speed.data(results)
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    rows = [
        {
            "what": row["what"],
            "images a second": f"{row['images_per_second']:,.1f}",
            "times Pillow": f"{row['ratio']:,.2f}",
            "a core's second": f"{row['images_per_core_second']:,.1f}",
            "times Pillow's": f"{row['ratio_per_core']:,.2f}",
        }
        for row in found["rows"]
    ]
    right = dict.fromkeys(list(rows[0])[1:], "right")
    caption = f"Mean difference from resizing the whole picture: {found['difference']:.3f} grey levels."
    table("Images", {"what": "left", **right}, rows, caption)
    say(f"Wrote {results / 'speed' / 'data.json'}")
