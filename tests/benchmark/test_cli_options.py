"""Groups of options: a dataclass as a parameter of a command."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from benchmark import opening
from benchmark.cli._options import DataOptions, grouped
from benchmark.errors import UserError
from benchmark.registry import DATASETS


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option("--width")] = 1
    tall: Annotated[bool, typer.Option("--tall")] = False


def application():
    app = typer.Typer()

    @app.command()
    @grouped
    def draw(
        name: Annotated[str, typer.Argument()], size: Size, colour: Annotated[str, typer.Option("--colour")] = "grey"
    ) -> None:
        """Draw it."""
        print(name, size, colour)

    return app


def test_each_field_is_an_option():
    run = CliRunner().invoke(application(), ["box", "--width", "3", "--colour", "red"])
    assert run.exit_code == 0 and run.output == "box Size(width=3, tall=False) red\n"
    run = CliRunner().invoke(application(), ["box", "--tall"])
    assert run.output == "box Size(width=1, tall=True) grey\n"


def test_help_shows_them_and_a_bad_value_is_refused():
    shown = CliRunner().invoke(application(), ["--help"]).output
    assert "--width" in shown and "--tall" in shown and "Draw it." in shown and "size" not in shown.lower()
    assert CliRunner().invoke(application(), ["box", "--width", "x"]).exit_code == 2


def test_the_layout_is_an_option_of_the_data_set(tmp_path):
    DATASETS.load("phantom").provide(tmp_path, n_train=2, n_validate=1, n_test=1, long_side=64)
    assert DataOptions("mimic-cxr", tmp_path, layout="jpg").open().options == {"layout": "jpg"}
    given = DataOptions("mimic-cxr", tmp_path, data_option=["layout=jpg"]).open()
    assert given.options == {"layout": "jpg"}
    with pytest.raises(UserError, match="--data-option takes key=value, not 'layout'"):
        DataOptions("mimic-cxr", tmp_path, data_option=["layout"]).open()
    with pytest.raises(UserError, match="Unknown option of the data set 'layuot'. Did you mean layout"):
        opening.open_dataset("mimic-cxr", tmp_path, None, tmp_path, {"layuot": "jpg"})
    with pytest.raises(UserError, match="Unknown layout 'jpgs'"):
        opening.open_dataset("mimic-cxr", tmp_path, None, tmp_path, {"layout": "jpgs"})
