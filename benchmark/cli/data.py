"""Commands about data sets: data make, check, show, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmark import config
from benchmark.cli._app import data_app, end
from benchmark.cli._options import AsJson, DataOptions, Split, grouped
from benchmark.console import say, table
from benchmark.errors import UserError
from benchmark.schema import LABEL_VALUES

if TYPE_CHECKING:
    from benchmark.contracts import Dataset


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
    layout: Annotated[
        str | None,
        typer.Option("--layout", help="Write it as MIMIC-CXR comes elsewhere: dicom, kaggle, r2gen, mapped."),
    ] = None,
) -> None:
    """Make a variant of a data set; it has a name of its own, so unlike rows never meet."""
    from benchmark import opening

    options: dict[str, Any] = {"n_train": n_train, "n_validate": n_validate, "n_test": n_test}
    options |= {"long_side": size, "prevalence": prevalence, "seed": seed}
    if layout is None:
        made = opening.provide(name, root, **options)
        say(f"{made.name}: {root}")
        return
    opening.provide_form(name, root, layout, config.results_folder(), **options)
    say(f"{name} as {layout}: {root}. Read it with --dataset mimic-cxr --root {root}.")


Name = Annotated[str, typer.Argument(help="A name from `bench datasets`.")]
Private = Annotated[bool, typer.Option("--private", help="The data are mine, and what is written stays with me.")]


@data_app.command("check")
@grouped
def check_data(
    name: Name,
    source: DataOptions,
    split: Annotated[str | None, typer.Option("--split", help="This split alone.")] = None,
    decode: Annotated[bool, typer.Option("--decode/--no-decode", help="Open every image, or only look for it.")] = True,
    page: Annotated[
        Path | None, typer.Option("--page", help="Also write a page of pictures to this HTML file.")
    ] = None,
    pictures: Annotated[int, typer.Option("--pictures", min=1, help="Studies of each split on the page.")] = 24,
    private: Private = False,
    as_json: AsJson = False,
) -> None:
    """Say what a copy holds and what is broken; exit status 3 where something is."""
    from benchmark import licence
    from benchmark.inspection.check import check
    from benchmark.inspection.page import write_page

    data = _open(name, source)
    if page is not None:
        kinds = frozenset({"images", "texts"})
        licence.refuse_publication(data, kinds, f"The page {page}", private)
        licence.keep_out_of_git(data, kinds, page)
    splits = [data.resolve_split(split)] if split else data.splits
    found = check(data, splits, config.results_folder(), decode)
    if page is not None:
        write_page(data, found, page, pictures)
        say(f"Wrote {page}")
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        _print_check(found)
    end(len(found["problems"]))


@data_app.command("show")
@grouped
def show_study(
    study: Annotated[str, typer.Argument(help="A study's id.")], source: DataOptions, as_json: AsJson = False
) -> None:
    """Print one study: images, sections, labels."""
    from benchmark.inspection.show import show

    data = source.open()
    found = show(data, study)
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    left_out = f", left out: {found['left_out']}" if found["left_out"] else ""
    print(f"Study {found['study_id']} of {data.name}, {found['split']}{left_out}")
    print(f"Patient: {found['patient_id']}")
    for image in found["images"]:
        there = "" if image["there"] else " (missing)"
        print(f"Image: {image['position'] or 'position unknown'} {image['path']}{there}")
    for key, value in {**found["attributes"], **found["context"]}.items():
        print(f"{key.capitalize()}: {value}")
    for section in ("findings", "impression"):
        print(f"\n{section.capitalize()}:\n{found[section] or '(none)'}")
    for labeller, labels in found["labels"].items():
        print(f"\nLabels ({labeller}): " + (", ".join(f"{k} {LABEL_VALUES[v]}" for k, v in labels.items()) or "(none)"))


@data_app.command("export")
@grouped
def export_data(
    name: Name,
    rexrank: Annotated[Path, typer.Option("--rexrank", help="The JSON file to write, in ReXrank's form.")],
    source: DataOptions,
    split: Split = "test",
    private: Private = False,
) -> None:
    """Write a split's studies and references for ReXrank's tools."""
    from benchmark import licence
    from benchmark.rexrank import write_rexrank

    data = _open(name, source)
    licence.refuse_publication(data, frozenset({"texts"}), f"The export {rexrank}", private)
    licence.keep_out_of_git(data, frozenset({"texts"}), rexrank)
    chosen = data.resolve_split(split)
    base = write_rexrank(rexrank, data.studies(chosen), data.references(chosen))
    say(f"Wrote {rexrank} ({len(data.studies(chosen)):,} studies; image paths are relative to {base}).")


def _open(name: str, source: DataOptions) -> Dataset:
    """The data set that stands first; the option that other commands name theirs with may only say it again."""
    if source.dataset not in (None, name):
        raise UserError(f"Two data sets are named, {name} and --dataset {source.dataset}: leave out --dataset.")
    return source.open(name)


def _print_check(found: dict[str, Any]) -> None:
    splits = found["splits"]
    title = " · ".join(filter(None, (found["dataset"], found["layout"], found["root"])))
    rows = []
    for split, facts in splits.items():
        images = facts["images"] or {"missing": 0, "unreadable": 0}
        counts = {unit: f"{n:,}" for unit, n in facts["listed"].items()}
        for unit, n in facts["official"].items():
            counts[unit] += f" / {n:,}"
        rows.append(
            {
                "split": split,
                **counts,
                "used": f"{facts['used']:,}",
                "missing": f"{images['missing']:,}",
                "unreadable": f"{images['unreadable']:,}" if found["images_decoded"] else "not opened",
            }
        )
    right = dict.fromkeys(("images", "studies", "patients", "used", "missing", "unreadable"), "right")
    table(title, {"split": "left", **right}, rows, "Listed / officially. Missing and unreadable are images.")
    reasons = [
        {"split": split, "n": f"{of['n']:,}", "reason": reason, "such as": ", ".join(of["examples"][:3])}
        for split, left_out in [*((s, f["left_out"]) for s, f in splits.items()), ("none", found["unassigned"])]
        for reason, of in left_out.items()
    ]
    if reasons:
        table("Left out", {"split": "left", "n": "right", "reason": "left", "such as": "left"}, reasons)
    texts = []
    for split, facts in splits.items():
        for section, words in facts["words"].items():
            repeated = facts["repeated"][section]
            copied = found["copied_from_training"].get(split, {}).get(section, {})
            row = {"split": split, "section": section, **{key: f"{value:,g}" for key, value in words.items()}}
            row |= {"different": f"{repeated['distinct']:,}", "commonest": f"{repeated['commonest']:,} ×"}
            row["in training"] = f"{copied['n']:,}" if copied else ""
            texts.append(row)
    right = dict.fromkeys(("n", "mean", "median", "p95", "max", "different", "commonest", "in training"), "right")
    table("Texts, in words", {"split": "left", "section": "left", **right}, texts)
    labels: dict[tuple[str, str], dict[str, str]] = {}
    for split, facts in splits.items():
        for labeller, classes in facts["labels"].items():
            for name, of in classes.items():
                row = labels.setdefault((labeller, name), {"labels": labeller, "class": name})
                row[split] = " / ".join(f"{of[value]:,}" for value in LABEL_VALUES.values())
    if labels:
        columns = {"labels": "left", "class": "left", **dict.fromkeys(splits, "right")}
        table("Labels", columns, list(labels.values()), "Studies positive / negative / uncertain.")
    for heading, sentences in (("Problem", found["problems"]), ("Note", found["notes"]), ("Limit", found["limits"])):
        for sentence in sentences:
            say(f"{heading}: {sentence}")
