"""A little data for models to train on."""

import importlib.util
from pathlib import Path

import pytest

from benchmark import registry


@pytest.fixture(scope="session")
def phantom(tmp_path_factory):
    """A phantom of eleven studies."""
    plugin = registry.DATASETS.load("phantom")
    root = tmp_path_factory.mktemp("phantom")
    plugin.provide(root, n_train=6, n_validate=3, n_test=2, long_side=64)
    return plugin(root)


@pytest.fixture(scope="session")
def hub_checkpoints():
    """The module that makes small hub checkpoints."""
    spec = importlib.util.spec_from_file_location("hub_checkpoints", Path(__file__).with_name("hub_checkpoints.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def hub_folder(hub_checkpoints, tmp_path_factory):
    """Folder of a small hub checkpoint by kind; each is made once and must not be changed."""
    made = {}

    def of(kind):
        if kind not in made:
            made[kind] = hub_checkpoints.make(kind, tmp_path_factory.mktemp("hub") / kind)
        return made[kind]

    return of
