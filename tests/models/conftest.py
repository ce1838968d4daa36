"""A little data for models to train on."""

import pytest

from benchmark import registry


@pytest.fixture(scope="session")
def phantom(tmp_path_factory):
    """A phantom of eleven studies."""
    plugin = registry.DATASETS.load("phantom")
    root = tmp_path_factory.mktemp("phantom")
    plugin.provide(root, n_train=6, n_validate=3, n_test=2, long_side=64)
    return plugin(root)
