"""Hashes and facts that stand beside a number. Expected hashes are computed here with hashlib and json alone."""

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import benchmark
from benchmark import provenance
from benchmark.schema import Reference, Study, View

STUDIES = [
    Study("s1", "p1", "test", (View(Path("/a/1.jpg"), "PA", "d1"), View(Path("/a/2.jpg"), "LATERAL", "d2"))),
    Study("s2", "p2", "test", (View(Path("/a/3.jpg"), "AP", "d3"),)),
]
REFERENCES = [Reference("s1", "p1", "Clear.", "Normal."), Reference("s2", "p2", "Effusion.", "")]
BASE = provenance.fingerprint(STUDIES, REFERENCES)


def with_first(study=None, reference=None):
    studies = [replace(STUDIES[0], **(study or {})), STUDIES[1]]
    references = [replace(REFERENCES[0], **(reference or {})), REFERENCES[1]]
    return provenance.fingerprint(studies, references)


def test_digest_is_sha256_of_canonical_json():
    expected = hashlib.sha256('{"a":[1,2.5,null],"b":"ä"}'.encode()).hexdigest()
    assert provenance.digest({"b": "ä", "a": [1, 2.5, None]}) == expected


def test_fingerprint_is_what_its_documentation_says():
    rows = [
        ["s1", "p1", "test", [["d1", "PA"], ["d2", "LATERAL"]], "Clear.", "Normal."],
        ["s2", "p2", "test", [["d3", "AP"]], "Effusion.", ""],
    ]
    text = json.dumps(rows, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == BASE


@pytest.mark.parametrize(
    "change",
    [
        {"study": {"study_id": "s0"}},
        {"study": {"patient_id": "p9"}},
        {"study": {"split": "train"}},
        {"study": {"views": STUDIES[0].views[:1]}},
        {"study": {"views": STUDIES[0].views[::-1]}},
        {"study": {"views": (replace(STUDIES[0].views[0], image_id="d9"), STUDIES[0].views[1])}},
        {"study": {"views": (replace(STUDIES[0].views[0], position="AP"), STUDIES[0].views[1])}},
        {"reference": {"findings": "Clear"}},
        {"reference": {"impression": ""}},
        {"reference": {"findings": "Normal.", "impression": "Clear."}},
    ],
    ids=lambda change: json.dumps(change, default=lambda view: view.image_id),
)
def test_fingerprint_changes_with_ids_splits_views_and_references(change):
    assert with_first(**change) != BASE


@pytest.mark.parametrize(
    "change",
    [
        {"study": {"views": tuple(replace(view, path=Path("/b") / view.path.name) for view in STUDIES[0].views)}},
        {"study": {"context": {"indication": "cough"}}},
        {"study": {"attributes": {"sex": "F"}}},
        {"reference": {"label_sets": {"chexpert": {"Edema": 1.0}}}},
    ],
    ids=["root", "context", "attributes", "labels"],
)
def test_fingerprint_changes_with_nothing_else(change):
    assert with_first(**change) == BASE


def test_fingerprint_does_not_depend_on_the_order_of_studies():
    assert provenance.fingerprint(STUDIES[::-1], REFERENCES[::-1]) == BASE


def test_fingerprint_of_fewer_studies_is_another():
    assert provenance.fingerprint(STUDIES[:1], REFERENCES[:1]) != BASE
    with pytest.raises(ValueError, match="zip"):
        provenance.fingerprint(STUDIES, REFERENCES[:1])


def test_fingerprint_takes_the_file_name_where_an_image_has_no_id():
    def of(path):
        study = Study("s1", "p1", "test", (View(Path(path)),))
        return provenance.fingerprint([study], REFERENCES[:1])

    assert of("/a/x.png") == of("/b/x.png") != of("/a/y.png")


def test_image_fingerprint_is_of_the_bytes(tmp_path):
    first, second = tmp_path / "1.jpg", tmp_path / "2.jpg"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    expected = hashlib.sha256()
    for content in (b"one", b"two"):
        expected.update(hashlib.sha256(content).hexdigest().encode())
    found = provenance.image_fingerprint([first, second])
    assert found == expected.hexdigest()
    assert provenance.image_fingerprint([second, first]) != found
    second.unlink()
    assert provenance.image_fingerprint([first, second]) not in (found, provenance.image_fingerprint([first]))


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    return folder


def test_checkpoint_hash_is_of_names_and_contents(checkpoint):
    base = provenance.checkpoint_hash(checkpoint)
    rows = [[name, hashlib.sha256(text).hexdigest()] for name, text in [("config.json", b"{}"),
            ("model.safetensors", b"weights")]]  # fmt: skip
    assert base == hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()
    (checkpoint / "model.safetensors").write_bytes(b"weightS")
    changed = provenance.checkpoint_hash(checkpoint)
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    assert provenance.checkpoint_hash(checkpoint) == base != changed
    (checkpoint / "config.json").rename(checkpoint / "configuration.json")
    assert provenance.checkpoint_hash(checkpoint) != base


@pytest.mark.parametrize("name", ["card.json", "job.json", "history.csv", ".lock"])
def test_checkpoint_hash_passes_over_the_records(checkpoint, name):
    base = provenance.checkpoint_hash(checkpoint)
    (checkpoint / name).write_text("anything")
    assert provenance.checkpoint_hash(checkpoint) == base
    (checkpoint / "tokenizer.json").write_text("anything")
    assert provenance.checkpoint_hash(checkpoint) != base


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A git repository with a package `benchmark`, in which `provenance` believes to lie."""
    package = tmp_path / "project" / "benchmark"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(benchmark, "__file__", str(package / "__init__.py"))
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(variable, raising=False)
    return package.parent


def git(folder, *arguments):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_commit_and_whether_the_code_was_changed_since(repository):
    git(repository, "init", "-q")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "first")
    head = git(repository, "rev-parse", "HEAD")
    assert provenance.commit() == {"commit": head[:12], "dirty": False}
    (repository / "results").mkdir()
    (repository / "results" / "phantom-val.csv").write_text("rank")
    assert provenance.commit() == {"commit": head[:12], "dirty": False}
    (repository / "models").mkdir()
    (repository / "models" / "new.py").write_text("")
    assert provenance.commit() == {"commit": head[:12], "dirty": True}


def test_an_installed_wheel_in_a_repository_of_others_has_no_commit(repository):
    assert provenance.commit() == {"commit": "", "dirty": False}
    (repository / "theirs.py").write_text("")
    git(repository, "init", "-q")
    git(repository, "add", "theirs.py")
    git(repository, "commit", "-qm", "theirs")
    assert provenance.commit() == {"commit": "", "dirty": False}


def test_versions_name_python_and_what_is_installed():
    found = provenance.versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    import numpy

    assert found["numpy"] == numpy.__version__
    assert set(found) <= {"python", *provenance.PACKAGES}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to compare with")
def test_peak_memory_is_in_megabytes():
    # Linux keeps the peak of this program as VmHWM, in kB; getrusage also counts what started it.
    lines = Path("/proc/self/status").read_text().splitlines()
    megabytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    assert 0.9 * megabytes < provenance.peak_memory_mb() < 50 * megabytes
