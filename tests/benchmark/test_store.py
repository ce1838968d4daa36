"""Files on disk: whole or not at all, one writer, damage named by line."""

import json
import os
import signal
import stat
import subprocess
import sys

import pytest

from benchmark import store
from benchmark.errors import UserError
from benchmark.schema import SCHEMA, Prediction
from benchmark.store import RunFolder

HOLDER = """
import sys
from pathlib import Path
from benchmark.store import exclusive
with exclusive(Path(sys.argv[1]), "evaluating"):
    print("held", flush=True)
    sys.stdin.read()
"""


def prediction(study, text="Findings: ä"):
    return Prediction(study, text, "ä", "")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "run.json"
    store.write_text(path, "old")

    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, step, full)
    with pytest.raises(OSError, match="No space"):
        store.write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["run.json"]


def test_a_write_replaces_the_whole_file_and_respects_the_umask(tmp_path):
    path = tmp_path / "deep" / "run.json"
    store.write_text(path, "a long first text\n")
    before = os.umask(0o027)
    try:
        store.write_text(path, "ä\r\n")
    finally:
        os.umask(before)
    assert path.read_bytes() == "ä\r\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(path.parent) == ["run.json"]


def test_json_carries_the_schema_and_refuses_nan(tmp_path):
    path = tmp_path / "scores.json"
    store.write_json(path, {"value": 0.1, "name": "ä"})
    assert json.loads(path.read_text("utf-8")) == {"schema": SCHEMA, "value": 0.1, "name": "ä"}
    assert store.read_json(path)["value"] == 0.1
    with pytest.raises(ValueError, match="JSON"):
        store.write_json(path, {"value": float("nan")})
    assert store.read_json(path)["value"] == 0.1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1', "is not a JSON file"),
        (b"\xff\xfe", "is not a JSON file"),
        (b'{"schema": 99}', "later version"),
        (b"[1]", "no JSON object"),
    ],
)
def test_reading_a_file_that_is_no_record_names_it(tmp_path, content, said):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        store.read_json(path)
    assert str(path) in str(error.value)


def test_reading_a_file_that_holds_no_object_is_refused(tmp_path):
    path = tmp_path / "run.json"
    path.write_text("[1, 2]")
    with pytest.raises(UserError, match=str(path)):
        store.read_json(path)


def test_a_second_process_is_refused_and_a_killed_one_lets_go(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="evaluating") as error, store.exclusive(tmp_path, "evaluating"):
            pass
        assert str(tmp_path) in str(error.value)
        other.send_signal(signal.SIGKILL)
        other.wait()
    with store.exclusive(tmp_path, "evaluating"):
        pass


def test_predictions_are_appended_and_read_back(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert folder.read() == {}
    folder.append([prediction("s2"), prediction("s1", "two\nlines\u2028and\x85more")])
    folder.append([prediction("s3")])
    assert list(folder.read()) == ["s2", "s1", "s3"]
    assert folder.read()["s1"].text == "two\nlines\u2028and\x85more"
    assert folder.predictions.read_bytes().count(b"\n") == 3


def test_a_half_written_line_is_cut_off_and_whole_ones_are_kept(tmp_path):
    folder = RunFolder(tmp_path)
    folder.append([prediction("s1"), prediction("s2")])
    whole = folder.predictions.read_bytes()
    line = whole.splitlines(keepends=True)[1]
    for cut in range(1, len(line)):
        folder.predictions.write_bytes(whole + line[:cut])
        folder.mend()
        assert folder.predictions.read_bytes() == whole
    folder.mend()
    assert folder.predictions.read_bytes() == whole


def test_mending_a_file_of_half_a_line_or_none_at_all(tmp_path):
    folder = RunFolder(tmp_path)
    folder.mend()
    assert not folder.predictions.exists()
    folder.predictions.write_bytes(b'{"study_id": "s1", "te')
    folder.mend()
    assert folder.predictions.read_bytes() == b""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"study_id": "s9", "text": "a"', "line 3: not JSON"),
        (b"[1]", "line 3: not a JSON object"),
        (b'{"study_id": "s9", "findings": "", "impression": ""}', "line 3: the field 'text' is missing"),
        (b'{"study_id": "s1", "text": "", "findings": "", "impression": ""}', "line 3: study s1 stands there twice"),
    ],
)
def test_a_damaged_line_is_named_with_its_number(tmp_path, line, said):
    folder = RunFolder(tmp_path)
    folder.append([prediction("s1"), prediction("s2")])
    with folder.predictions.open("ab") as file:
        file.write(line + b"\n")
    folder.append([prediction("s3")])
    with pytest.raises(UserError, match=said) as error:
        folder.read()
    assert str(folder.predictions) in str(error.value)


def test_predictions_that_are_not_utf8_are_refused_with_the_place(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_bytes('{"text": "ä"}\n'.encode("latin-1"))
    with pytest.raises(UserError, match=r"UTF-8 text \(byte 10\)"):
        store.read_predictions(path)


def test_blank_lines_are_passed_over_and_counted(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text('{"a": 1}\n\n  \n{"b": 2}\n')
    assert list(store.read_jsonl(path)) == [(1, {"a": 1}), (4, {"b": 2})]
