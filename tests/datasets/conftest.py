"""A small phantom written in each form in which people hold MIMIC-CXR; made once and not to be changed."""

import shutil

import pytest

from benchmark.registry import DATASETS


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Folder of the phantom in a form: `written("dicom")`."""
    phantom, folder = DATASETS.load("phantom"), tmp_path_factory.mktemp("forms")

    def of(form):
        root = folder / form
        if not root.exists() and form == "jpg":
            phantom.provide(root, n_train=60, n_validate=20, n_test=20, long_side=64)
        elif not root.exists():
            phantom.write_form(of("jpg"), root, form)
        return root

    return of


@pytest.fixture(scope="session")
def jpg(written):
    return written("jpg")


@pytest.fixture
def copy(written, tmp_path):
    """A copy of a form that a test may change: `copy("dicom")`."""
    return lambda form: shutil.copytree(written(form), tmp_path / form)
