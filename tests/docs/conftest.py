"""The plugins that the pages show, and how code is read from a page."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def read_snippets(page, language):
    """The blocks of a language, each with the file that the text before it names last (empty where it names none)."""
    text = page.read_text("utf-8")
    for block in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        before = text[: block.start()].rstrip().rpartition("\n\n")[2]
        named = re.findall(r"`([\w./-]+\.\w+)`:", before)
        yield named[-1] if named else "", block[1]


@pytest.fixture(scope="session")
def snippets():
    """The function `read_snippets`."""
    return read_snippets


@pytest.fixture
def put_in_place(tmp_path_factory):
    """Gives a page's plugins to their packages, as if their files lay there; tells the names of the modules."""
    import benchmark.datasets
    import benchmark.metrics
    import benchmark.models

    packages = {"models": benchmark.models, "datasets": benchmark.datasets, "benchmark/metrics": benchmark.metrics}
    root, added = tmp_path_factory.mktemp("plugins"), []

    def put(page):
        for name, code in read_snippets(page, "python"):
            folder, _, file = name.rpartition("/")
            if folder in packages:
                (root / folder).mkdir(parents=True, exist_ok=True)
                (root / name).write_text(code)
                package, place = packages[folder], str(root / folder)
                for places in _places(package):
                    places.append(place)
                added.append((package, place, f"{package.__name__}.{Path(file).stem}"))
        return [module for _, _, module in added]

    yield put
    for package, place, module in added:
        sys.modules.pop(module, None)
        for places in _places(package):
            places.remove(place)


def _places(package):
    """Where a package's modules are looked for: by import, and by the registry. Both may be one list."""
    lists = {id(each): each for each in (package.__path__, package.__spec__.submodule_search_locations)}
    return lists.values()
