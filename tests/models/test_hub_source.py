"""Where hub checkpoints come from: the cache, folders, and a hub that refuses; a small server plays the hub."""

import http.server
import json
import shutil
import threading

import huggingface_hub.constants as hub
import pytest

from benchmark.errors import UserError
from benchmark.models._hub import fetch

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty hub cache."""
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put_in_cache(cache, hub_id, folder):
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    shutil.copytree(folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return repository


class Hub(http.server.BaseHTTPRequestHandler):
    """Knows `some/gated`, whose files it will not give, and `some/open`, which has one revision and no file."""

    def do_GET(self):
        if self.path.startswith("/api/models/some/open/revision/main"):
            self.answer(200, {"id": "some/open", "sha": COMMIT, "siblings": []})
        elif self.path.startswith("/api/models/some/open"):
            self.answer(404, {"error": "no"}, "RevisionNotFound")
        elif self.path.startswith("/api/models/some/gated/tree"):
            self.answer(200, [{"type": "file", "path": "config.json", "oid": "1", "size": 2}])
        elif self.path.startswith("/api/models/some/gated"):
            self.answer(200, {"id": "some/gated", "sha": COMMIT, "siblings": [{"rfilename": "config.json"}]})
        elif self.path.startswith("/some/gated"):
            self.answer(403, {"error": "Access to model some/gated is restricted"}, "GatedRepo")
        elif self.path.startswith("/api/models/some/broken"):
            self.answer(418, {"error": "I am a teapot"})
        else:
            self.answer(401, {"error": "Repository not found"}, "RepoNotFound")

    do_HEAD = do_GET

    def answer(self, status, body, code=None):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(cache, monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{found.server_port}"
        monkeypatch.setattr(hub, "ENDPOINT", address)
        monkeypatch.setattr(hub, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
        yield
        found.shutdown()


@pytest.mark.parametrize(
    ("hub_id", "revision", "sentence"),
    [
        ("no/such-model", "", "The hub has no model 'no/such-model', or it is private"),
        ("some/gated", "", r"some/gated needs a token: accept its terms .* `hf auth login`"),
        ("some/open", "v9", "some/open has no branch, tag or commit 'v9'"),
        ("some/broken", "", "The hub would not give some/broken: .*418"),
    ],
)
def test_what_the_hub_refuses_is_said_in_a_sentence(server, hub_id, revision, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        fetch(hub_id, revision)
    assert "\n" not in str(error.value)


def test_without_a_network_the_sentence_says_how_to_bring_it(cache, monkeypatch):
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")
    for offline in (True, False):
        monkeypatch.setattr(hub, "HF_HUB_OFFLINE", offline)
        with pytest.raises(UserError, match="some/model is not on this machine .*HF_HUB_OFFLINE=1"):
            fetch("some/model", "")


@pytest.mark.parametrize(
    ("hub_id", "sentence"),
    [
        ("", "--set hub_id="),
        ("./nowhere", "No such folder: ./nowhere"),
        ("/nowhere/at/all", "No such folder"),
        ("what is this?", "neither a hub id"),
    ],
)
def test_what_is_no_hub_id(cache, hub_id, sentence):
    with pytest.raises(UserError, match=sentence):
        fetch(hub_id, "")


def test_the_cache_gives_commit_and_licence(cache, tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "README.md").write_text("---\nlicense: other\nlicense_name: health-ai-terms\n---\n# A model\n")
    put_in_cache(cache, "some/model", tmp_path / "made")
    for revision in ("", "main", COMMIT):
        source = fetch("some/model", revision)
        assert (source.hub_id, source.name, source.revision) == ("some/model", "some/model", COMMIT)
        assert source.licence == "health-ai-terms"


def test_a_folder_is_known_by_its_files(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "README.md").write_text("---\n: not YAML {\n---\n")
    source = fetch(str(tmp_path), "")
    assert source.revision.startswith("sha256:") and source.licence == "" and source.name == tmp_path.name
    assert fetch(str(tmp_path), source.revision) == source
    with pytest.raises(UserError, match="a folder, which has no revision 'main'"):
        fetch(str(tmp_path), "main")
    (tmp_path / "config.json").write_text("{ }")
    with pytest.raises(UserError, match="are not those that this checkpoint was made from"):
        fetch(str(tmp_path), source.revision)
