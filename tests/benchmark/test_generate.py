"""Data set and model to predictions: fixed batches, resumption, controls, identity of a run."""

import contextlib
import dataclasses
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from benchmark import generate, memory
from benchmark.console import progress
from benchmark.contracts import Dataset, Model
from benchmark.errors import UserError
from benchmark.generate import RunPlan
from benchmark.schema import GenerationSettings, Report, Study, View, to_dict
from benchmark.store import RunFolder

SETTINGS = GenerationSettings(batch_size=4)
STUDIES = [
    Study(f"s{i:02}", f"p{i:02}", "test", (View(Path(f"/img/{i}.jpg"), "PA", f"d{i}"),), {}, {"view": "PA"})
    for i in range(11)
]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


class Echo(Model):
    """Its text shows all that a text may depend on: the study, its image, its seed and its batch."""

    def __init__(self, killed_at=None, unread="s05"):
        self.killed_at = killed_at
        self.unread = unread
        self.batches = []

    @classmethod
    def train(cls, job):
        raise NotImplementedError

    @classmethod
    def load(cls, checkpoint, device):
        return cls()

    def card(self):
        return {"parameters": 0}

    def generate(self, studies, settings, seeds):
        if len(self.batches) == self.killed_at:
            raise Killed
        self.batches.append([study.study_id for study in studies])
        mates = "+".join(study.study_id for study in studies)
        return [
            Report("", error="cannot be read")
            if study.study_id == self.unread
            else Report(
                f"Findings: {study.study_id} {study.views[0].path.name} {seed} ä {mates} Impression: none.",
                n_tokens=len(study.study_id),
                truncated=study.study_id == "s07",
            )
            for study, seed in zip(studies, seeds, strict=True)
        ]


class Data(Dataset):
    VERSION = "7"
    LICENCE = "MIT"
    SPLITS = ("train", "validate", "test")
    MAY_LEAVE = frozenset()
    name = "data"

    def check(self):
        return []

    def studies(self, split):
        return STUDIES

    listed = studies

    def references(self, split):
        raise AssertionError("generation must not open references")

    def left_out(self, split):
        return {}


def plan(**changes):
    fields = {
        "model": "echo",
        "preset": "default",
        "checkpoint": "c0",
        "dataset": "data",
        "split": "test",
        "fingerprint": "f0",
        "settings": SETTINGS,
        "seed": 0,
        "control": "",
    }
    return RunPlan(**{**fields, **changes})


def run(results, model, **changes):
    return generate.run(plan(**changes), Data(Path("/")), STUDIES, lambda: model, results, {"root": "/x"}, progress)


def lines(folder):
    """Predictions as they stand in the file, less the time they took."""
    found = [json.loads(line) for line in folder.predictions.read_text("utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return lines(run(tmp_path_factory.mktemp("undisturbed"), Echo()))


def test_batches_are_fixed_slices_of_the_studies(tmp_path):
    model = Echo()
    run(tmp_path, model)
    ids = [study.study_id for study in STUDIES]
    assert model.batches == [ids[:4], ids[4:8], ids[8:]]


def test_every_study_is_written_once_and_in_order(undisturbed):
    assert [line["study_id"] for line in undisturbed] == [study.study_id for study in STUDIES]
    first = undisturbed[0]
    seed = int(hashlib.sha256(b"0:s00").hexdigest()[:16], 16) // 2
    assert first["findings"] == f"s00 0.jpg {seed} ä s00+s01+s02+s03"
    assert first["impression"] == "none."
    assert first["text"] == f"Findings: {first['findings']} Impression: none."
    assert first["n_tokens"] == 3


def test_errors_and_cut_reports_are_recorded(tmp_path):
    folder = run(tmp_path, Echo())
    found = folder.read()
    assert {study for study, p in found.items() if p.error} == {"s05"}
    assert (found["s05"].error, found["s05"].text, found["s05"].findings) == ("cannot be read", "", "")
    assert {study for study, p in found.items() if p.truncated} == {"s07"}
    record = json.loads(folder.record.read_text())
    assert (record["n_errors"], record["n_truncated"], record["n"]) == (1, 1, 11)


@pytest.mark.parametrize("batches_done", [0, 1, 2])
@pytest.mark.parametrize("torn", [b"", b'{"study_id": "s', b'{"study_id": "s04", "text": "F\xc3'])
def test_a_killed_run_goes_on_to_what_an_undisturbed_one_gives(tmp_path, undisturbed, batches_done, torn):
    killed = Echo(killed_at=batches_done)
    with pytest.raises(Killed):
        run(tmp_path, killed)
    folder = plan().folder(tmp_path)
    assert json.loads(folder.record.read_text())["status"] == "running"
    with folder.predictions.open("ab") as file:
        file.write(torn)
    second = Echo()
    run(tmp_path, second)
    assert lines(folder) == undisturbed
    assert json.loads(folder.record.read_text())["status"] == "complete"
    calls = Counter(study for model in (killed, second) for batch in model.batches for study in batch)
    tried_again = {"s04", "s05", "s06", "s07"} if batches_done == 2 else set()  # one of them could not be read
    assert len(calls) == 11 and {study for study, n in calls.items() if n > 1} == tried_again


def test_a_batch_torn_in_the_middle_is_computed_whole_and_only_completed(tmp_path, undisturbed):
    with pytest.raises(Killed):
        run(tmp_path, Echo(killed_at=2))
    folder = plan().folder(tmp_path)
    content = folder.predictions.read_bytes().splitlines(keepends=True)
    folder.predictions.write_bytes(b"".join(content[:6]) + content[6][:40])
    model = Echo()
    run(tmp_path, model)
    assert lines(folder) == undisturbed
    assert model.batches == [["s04", "s05", "s06", "s07"], ["s08", "s09", "s10"]]


def test_what_had_an_error_is_tried_again_and_the_rest_left(tmp_path, capsys):
    whole = lines(run(tmp_path / "whole", Echo(unread="")))
    folder = run(tmp_path, Echo())
    failed = folder.predictions.read_bytes()
    still = Echo()
    run(tmp_path, still)
    assert folder.predictions.read_bytes() == failed and len(still.batches) == 1
    assert "Tried again, since they had an error before: 1 studies" in capsys.readouterr().err
    with pytest.raises(Killed):
        run(tmp_path, Echo(killed_at=0))
    run(tmp_path, Echo(unread=""))
    assert lines(folder) == whole and json.loads(folder.record.read_text())["n_errors"] == 0
    kept = folder.predictions.read_bytes().splitlines()
    assert [old == new for old, new in zip(failed.splitlines(), kept, strict=True)].count(False) == 1


def test_a_complete_run_loads_no_model_and_changes_nothing(tmp_path):
    folder = run(tmp_path, Echo(unread=""))
    before = folder.predictions.read_bytes(), folder.record.read_bytes()

    def load():
        raise AssertionError("a complete run needs no model")

    generate.run(plan(), Data(Path("/")), STUDIES, load, tmp_path, {}, progress)
    assert (folder.predictions.read_bytes(), folder.record.read_bytes()) == before


def test_a_run_whose_predictions_were_lost_is_completed_again(tmp_path, undisturbed):
    folder = run(tmp_path, Echo())
    content = folder.predictions.read_bytes().splitlines(keepends=True)
    folder.predictions.write_bytes(b"".join(content[:8]))
    run(tmp_path, Echo())
    assert lines(folder) == undisturbed
    folder.predictions.unlink()
    run(tmp_path, Echo())
    assert lines(folder) == undisturbed


def test_the_record_holds_what_identifies_the_run(tmp_path):
    folder = run(tmp_path, Echo(), control="shuffle", seed=3)
    record = json.loads(folder.record.read_text())
    expected = {"model": "echo", "preset": "default", "checkpoint": "c0", "dataset": "data", "split": "test",
                "fingerprint": "f0", "seed": 3, "control": "shuffle", "dataset_version": "7", "root": "/x",
                "may_leave": [], "card": {"parameters": 0, "precision": "fp32"}}  # fmt: skip
    assert {key: record[key] for key in expected} == expected
    assert record["settings"] == to_dict(SETTINGS)
    assert record["run_id"] == folder.path.name == plan(control="shuffle", seed=3).run_id
    assert record["seconds"]["generate"] == pytest.approx(sum(p.seconds for p in folder.read().values()), abs=1e-3)
    assert {"load", "generate"} == set(record["seconds"])
    assert record["hardware"]["cores"] > 0 and record["code"]["version"]


def test_the_peak_of_memory_is_a_run_s_where_the_process_did_nothing_before(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_worked", False)
    first, second = (json.loads(run(tmp_path, Echo(), seed=seed).record.read_text()) for seed in (1, 2))
    assert first["peak_memory_mb"] > 0 and second["peak_memory_mb"] is None


def test_another_process_in_the_same_run_is_refused(tmp_path):
    path = plan().folder(tmp_path).path
    code = (
        "import sys, pathlib\nfrom benchmark.store import exclusive\n"
        f"with exclusive(pathlib.Path({str(path)!r}), 'evaluating'):\n"
        "    print('held', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match="Another process is evaluating"):
            run(tmp_path, Echo())
        other.stdin.close()
    assert not (path / "predictions.jsonl").exists()
    run(tmp_path, Echo())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(lambda reports: reports[1:], "gave 3 of Report for 4"), (lambda reports: [r.text for r in reports], "4 of str")],
    ids=["too few", "texts"],
)
def test_a_model_that_breaks_its_promise_is_stopped_before_anything_is_written(tmp_path, wrong, said):
    class Wrong(Echo):
        def generate(self, studies, settings, seeds):
            return wrong(super().generate(studies, settings, seeds))

    with pytest.raises(UserError, match=said):
        run(tmp_path, Wrong())
    assert plan().folder(tmp_path).read() == {}


def test_progress_counts_every_study_also_after_a_resumption(tmp_path):
    seen = []

    @contextlib.contextmanager
    def count(task, total):
        yield lambda steps: seen.append((steps, total))

    with pytest.raises(Killed):
        generate.run(plan(), Data(Path("/")), STUDIES, lambda: Echo(killed_at=1), tmp_path, {}, count)
    assert seen == [(4, 11)]
    seen.clear()
    generate.run(plan(), Data(Path("/")), STUDIES, Echo, tmp_path, {}, count)
    assert seen == [(4, 11), (4, 11), (3, 11)]


# --- identity ---------------------------------------------------------------------------------------------------


def test_run_id_is_the_hash_of_the_plan_alone():
    content = {
        "model": "echo", "preset": "default", "checkpoint": "c0", "dataset": "data", "split": "test",
        "fingerprint": "f0", "seed": 0, "control": "", "images": "",
        "settings": {"max_new_tokens": 200, "num_beams": 1, "do_sample": False, "temperature": 1.0, "top_k": 0,
                     "top_p": 1.0, "repetition_penalty": 1.0, "batch_size": 4},
    }  # fmt: skip
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert plan().run_id == hashlib.sha256(text.encode()).hexdigest()[:12]


OTHER = {
    "model": "m", "preset": "p", "checkpoint": "c1", "dataset": "d", "split": "train", "fingerprint": "f1", "seed": 1,
    "control": "blank", "images": "i1",
}  # fmt: skip
OTHER_SETTINGS = {
    "max_new_tokens": 100, "num_beams": 2, "do_sample": True, "temperature": 0.5, "top_k": 5, "top_p": 0.5,
    "repetition_penalty": 1.2, "batch_size": 8, "precision": "bf16", "prompt": "Findings:",
}  # fmt: skip


def test_run_id_depends_on_every_field():
    assert set(OTHER) | {"settings"} == {field.name for field in dataclasses.fields(RunPlan)}
    assert set(OTHER_SETTINGS) == {field.name for field in dataclasses.fields(GenerationSettings)}
    plans = [plan(), *(plan(**{key: value}) for key, value in OTHER.items())]
    plans += [plan(settings=dataclasses.replace(SETTINGS, **{key: value})) for key, value in OTHER_SETTINGS.items()]
    assert len({each.run_id for each in plans}) == len(plans)


def test_run_folder_says_what_it_holds(tmp_path):
    expected = RunFolder(tmp_path / "runs" / "data" / "test" / "echo" / plan().run_id)
    assert plan().folder(tmp_path) == expected


def test_study_seeds_depend_on_seed_and_study_and_fit_a_torch_seed():
    seeds = {generate.study_seed(seed, study.study_id) for seed in range(3) for study in STUDIES}
    assert len(seeds) == 33
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert generate.study_seed(2, "s01") == int.from_bytes(hashlib.sha256(b"2:s01").digest()[:8], "big") // 2


# --- splits -----------------------------------------------------------------------------------------------------


def test_splits_and_their_aliases():
    data = Data(Path("/"))
    for alias in ("val", "validation", "validate"):
        assert data.resolve_split(alias) == "validate"
    assert [data.short_split(split) for split in data.SPLITS] == ["train", "val", "test"]
    with pytest.raises(UserError, match="Did you mean test"):
        data.resolve_split("tests")


# --- controls ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 11])
def test_shuffle_gives_every_study_the_image_of_another_one(tmp_path, n):
    studies = STUDIES[:n]
    shown = generate.apply_control(studies, "shuffle", tmp_path)
    assert [study.study_id for study in shown] == [study.study_id for study in studies]
    assert all(a.views != b.views for a, b in zip(studies, shown, strict=True))
    assert Counter(study.views for study in shown) == Counter(study.views for study in studies)
    assert [dataclasses.replace(study, views=()) for study in shown] == [
        dataclasses.replace(study, views=()) for study in studies
    ]
    assert generate.apply_control(studies[::-1], "shuffle", tmp_path)[::-1] == shown


@pytest.mark.parametrize("sizes", [(1, 1), (2, 2), (3, 1, 1, 1), (5, 2, 2, 1), (4, 3, 3, 2, 1, 1, 1), (3, 1)], ids=str)
def test_shuffle_gives_the_image_of_another_patient(tmp_path, sizes):
    owners = [f"p{patient}" for patient, n in enumerate(sizes) for _ in range(n)]
    studies = [dataclasses.replace(STUDIES[0], study_id=f"s{i}", patient_id=owner, views=(View(Path(f"{i}-{owner}")),))
               for i, owner in enumerate(owners)]  # fmt: skip
    shown = generate.apply_control(studies, "shuffle", tmp_path)
    own = sum(study.views[0].path.name.endswith(f"-{study.patient_id}") for study in shown)
    assert own == max(0, 2 * max(sizes) - len(studies))
    assert all(a.views != b.views for a, b in zip(studies, shown, strict=True))
    assert {study.views for study in shown} == {study.views for study in studies}


def test_one_study_cannot_be_shuffled(tmp_path):
    with pytest.raises(UserError, match="at least two"):
        generate.apply_control(STUDIES[:1], "shuffle", tmp_path)


def test_shuffle_is_what_the_model_sees_and_the_batches_stay(tmp_path):
    model = Echo()
    folder = run(tmp_path, model, control="shuffle")
    ids = [study.study_id for study in STUDIES]
    assert model.batches == [ids[:4], ids[4:8], ids[8:]]
    for study, prediction in folder.read().items():
        if not prediction.error:
            assert prediction.findings.split()[1] != f"{int(study[1:])}.jpg"


def test_blank_shows_one_black_image_in_the_same_view(tmp_path):
    shown = generate.apply_control(STUDIES, "blank", tmp_path)
    paths = {view.path for study in shown for view in study.views}
    assert len(paths) == 1
    with Image.open(paths.pop()) as image:
        assert image.getextrema() == (0, 0)
    assert {study.views[0].position for study in shown} == {"PA"}
    assert all(len(study.views) == 1 for study in shown)


def test_without_a_control_the_studies_are_shown_as_they_are(tmp_path):
    assert generate.apply_control(STUDIES, "", tmp_path) == STUDIES
