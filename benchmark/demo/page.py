"""The page itself: Streamlit runs this file anew for every visitor and every change they make."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from benchmark import config, opening
from benchmark.contracts import Dataset
from benchmark.demo import markup, nearest, pictures, shelf, writing
from benchmark.demo.serve import MAX_UPLOAD_MB
from benchmark.demo.words import LANGUAGES, WORDS
from benchmark.errors import UserError
from benchmark.schema import Reference, Study
from benchmark.train import Checkpoint

STYLE = Path(__file__).with_name("style.css").read_text("utf-8")
MODEL = "vgpt2"
KEPT = 4
"""Models in memory; the one that was not asked for longest makes room."""

state = st.session_state
Words = Mapping[str, str]


def page() -> None:
    st.set_page_config(page_title="cxr-report-bench", page_icon="🩻", layout="wide")
    words = head()
    results = config.results_folder()
    found = shelf.look(results)
    for problem in found.problems:
        st.html(markup.line("problem", words["damaged"].format(reason=problem)))
    if not found.models:
        st.html(markup.line("problem", words["nothing_trained"]))
        return
    with st.sidebar:
        st.subheader(words["settings"])
        checkpoints = choose_checkpoints(found, words)
        settings = choose_settings(words)
    picture, reference = choose_picture(words)
    shared = [opened for each in checkpoints if (opened := ready(each, words))]
    films = st.empty()
    unready = picture is None or len(shared) < len(checkpoints)
    with st.container(horizontal=True):
        asked = st.button(words["write"], type="primary", disabled=unready)
        st.button(words["clear"], on_click=forget)
    if picture is None:
        st.html(markup.line("hint", words["start"]))
        return
    written = [each for each in state.get("written", []) if each.picture == picture.key]
    films.html(markup.films(picture, [] if asked else written, words))
    if asked:
        ask(shared, picture, settings, words)
    for number, (each, column) in enumerate(zip(written, st.columns(max(1, len(written))), strict=False)):
        with column:
            show(each, number, words)
    if reference and written:
        with st.expander(words["reference"]):
            st.html(markup.reference(reference, words))
    if written and shared:
        show_nearest(shared[0], picture, results, words)


def head() -> Words:
    """Title, language and notice. Returns the page's words."""
    title, language = st.columns([4, 1], vertical_alignment="bottom")
    browser = (st.context.locale or "en").split("-")[0]
    chosen = language.segmented_control(
        "Language / Dil",
        list(LANGUAGES),
        default=browser if browser in LANGUAGES else "en",
        format_func=LANGUAGES.__getitem__,
        key="language",
        label_visibility="collapsed",
        required=True,
    )
    words = WORDS[chosen or "en"]
    drop = words["drop"].format(size=MAX_UPLOAD_MB)
    st.html(f"<style>{STYLE} :root {{ --browse: '{words['browse']}'; --drop: '{drop}'; }}</style>")
    title.title(words["title"], anchor=False)
    title.caption(words["intro"])
    st.html(markup.line("notice", words["notice"]))
    return words


def choose_checkpoints(found: shelf.Shelf, words: Words) -> list[Checkpoint]:
    """One, or two to be compared."""
    usual = _default(found)
    first = choose_checkpoint(found, words["model"], words["checkpoint"], "first", usual, words)
    if not st.toggle(words["compare"], key="compare"):
        return [first]
    labels = words["second_model"], words["second_checkpoint"]
    return [first, choose_checkpoint(found, *labels, "second", (usual + 1) % len(found.models), words)]


def choose_checkpoint(
    found: shelf.Shelf, model: str, checkpoint: str, key: str, usual: int, words: Words
) -> Checkpoint:
    """One of those found, from two boxes with the labels `model` and `checkpoint`."""
    name = st.selectbox(model, list(found.models), index=usual, key=f"{key}-model")
    offered = {each.path.name: each for each in found.models[name]}
    chosen = offered[st.selectbox(checkpoint, list(offered), key=f"{key}-checkpoint-{name}")]
    card = chosen.card
    about = words["trained_on"].format(dataset=card["dataset"]["name"], date=card["date"][:10])
    st.html(markup.line("hint", about))
    return chosen


def _default(found: shelf.Shelf) -> int:
    """The model that this benchmark is about, else that with the newest checkpoint."""
    if MODEL in found.models:
        return list(found.models).index(MODEL)
    dates = [checkpoints[0].card["date"] for checkpoints in found.models.values()]
    return dates.index(max(dates))


def choose_settings(words: Words) -> dict[str, Any]:
    method = st.segmented_control(
        words["method"], list(writing.METHODS), default="greedy", format_func=words.__getitem__, key="method",
        required=True,
    )  # fmt: skip
    used = (*writing.ALWAYS, *writing.METHODS[method or "greedy"])

    def slide(key: str, low: Any, high: Any, value: Any, step: Any) -> Any:
        return st.slider(words[key], low, high, value, step, key=key, disabled=key not in used)

    return writing.chosen(
        {
            "method": method or "greedy",
            "max_new_tokens": slide("max_new_tokens", 60, 200, 160, 10),
            "repetition_penalty": slide("repetition_penalty", 1.0, 1.5, 1.0, 0.05),
            "temperature": slide("temperature", 0.2, 1.5, 0.7, 0.05),
            "top_p": slide("top_p", 0.5, 1.0, 0.9, 0.05),
            "top_k": slide("top_k", 0, 200, 50, 5),
            "seed": st.number_input(
                words["seed"], 0, 2**31, 0, key="seed", disabled="seed" not in used, help=words["seed_help"]
            ),
            "num_beams": slide("num_beams", 2, 8, 4, 1),
        }
    )


def choose_picture(words: Words) -> tuple[pictures.Picture | None, Reference | None]:
    """The radiograph, and what the phantom's reader wrote where it is one."""
    left, right = st.columns([1, 2])
    source = left.segmented_control(
        words["source"], ["upload", "phantom"], default="upload", format_func=words.__getitem__, key="source",
        required=True,
    )  # fmt: skip
    with right:
        try:
            return choose_phantom(words) if source == "phantom" else choose_upload(words)
        except pictures.NoPicture as found:
            st.html(markup.line("problem", words[f"image_{found.kind}"].format(name=found.name)))
            return None, None


def choose_upload(words: Words) -> tuple[pictures.Picture | None, None]:
    uploaded = st.file_uploader(words["file"], key=f"upload-{state.get('round', 0)}")
    st.html(markup.line("hint", words["stays_in_memory" if pictures.IN_MEMORY else "stays_for_a_moment"]))
    if uploaded is None:
        return None, None
    held = state.get("picture")
    if held is None or held.key != uploaded.file_id:
        held = pictures.open_upload(uploaded.file_id, uploaded.name, uploaded.getvalue())
        state["picture"] = held
    return held, None


def choose_phantom(words: Words) -> tuple[pictures.Picture | None, Reference | None]:
    dataset = phantom()
    if dataset is None:
        st.html(markup.line("problem", words["no_phantom"]))
        return None, None
    offered = {study.study_id: (study, reference) for study, reference in phantom_studies(dataset)}
    chosen = st.selectbox(words["phantom_study"], list(offered), key="phantom-study")
    study, reference = offered[chosen]
    return phantom_picture(study.study_id, study.views[0].path), reference


@st.cache_resource(show_spinner=False)
def phantom() -> Dataset | None:
    """The phantom, where it has been made."""
    results = config.results_folder()
    there = config.data_root(opening.PHANTOM) or results / "data" / opening.PHANTOM
    return opening.open_dataset(opening.PHANTOM, there, None, results) if there.is_dir() else None


@st.cache_resource(show_spinner=False)
def phantom_studies(_dataset: Dataset) -> list[tuple[Study, Reference]]:
    split = _dataset.resolve_split("test")
    return list(zip(_dataset.studies(split), _dataset.references(split), strict=True))


@st.cache_data(show_spinner=False, max_entries=64)
def phantom_picture(study_id: str, path: Path) -> pictures.Picture:
    return pictures.open_file(study_id, path)


@st.cache_resource(show_spinner=False, max_entries=KEPT)
def opened(path: str, content: str, _checkpoint: Checkpoint) -> shelf.Shared:
    """The model of a checkpoint of that content, shared by all visitors."""
    return shelf.open_shared(_checkpoint)


def ready(checkpoint: Checkpoint, words: Words) -> shelf.Shared | None:
    """The model, or a sentence on the page why it is not to be had."""
    try:
        with st.spinner(words["loading"]):
            return opened(str(checkpoint.path), checkpoint.card["hash"], checkpoint)
    except UserError as error:
        st.html(markup.line("problem", str(error)))
        return None


def ask(shared: list[shelf.Shared], picture: pictures.Picture, settings: Mapping[str, Any], words: Words) -> None:
    """Let the models write, one after the other, and show each text as it grows; then run the page again."""
    state["written"] = []
    state.pop("nearest", None)
    places = []
    for each, column in zip(shared, st.columns(len(shared)), strict=True):
        column.html(markup.maker(each.checkpoint.card["model"], each.checkpoint.path.name))
        places.append(column.empty())
    for each, place in zip(shared, places, strict=True):
        shown = 0

        def grow(text: str, place: Any = place) -> None:
            nonlocal shown
            if (begun := len(text.split())) != shown:  # by the word: each change of the page costs milliseconds
                shown = begun
                place.html(markup.growing(text, words))

        def wait(place: Any = place) -> None:
            place.html(markup.line("hint", words["waiting"]))

        try:
            state["written"].append(writing.write(each, picture, settings, grow, wait))
        except UserError as error:
            place.html(markup.line("problem", str(error)))
            return
    st.rerun()


def show(written: writing.Written, number: int, words: Words) -> None:
    """A report with its labels, its raw text and its files."""
    st.html(markup.maker(written.model, written.checkpoint["name"]))
    st.html(markup.report(written, number, words))
    st.markdown(f"**{words['labels']}**", help=words["labels_help"])
    st.html(markup.labels(written, words))
    with st.expander(words["raw"]):
        st.code(written.prediction.text, language=None, wrap_lines=True)
    txt, as_json = st.columns(2)
    for column, suffix, content, mime in (
        (txt, "txt", written.as_txt(words), "text/plain"),
        (as_json, "json", written.as_json(), "application/json"),
    ):
        column.download_button(
            words[f"as_{suffix}"], content, written.file_name(suffix), mime, key=f"{suffix}-{number}",
            on_click="ignore", width="stretch",
        )  # fmt: skip


def show_nearest(shared: shelf.Shared, picture: pictures.Picture, results: Path, words: Words) -> None:
    st.markdown(f"**{words['nearest']}**")
    dataset = phantom()
    if dataset is None or shared.checkpoint.card["dataset"]["name"] != dataset.name:
        st.html(markup.line("hint", words["no_nearest"]))
        return
    key = (picture.key, shared.checkpoint.card["hash"])
    if st.button(words["find_nearest"], key="find-nearest"):
        bar = st.progress(0.0, words["describing"])
        state["nearest"] = (
            key,
            nearest.find(shared, picture, dataset, results, lambda share: bar.progress(share, words["describing"])),
        )
        bar.empty()
    held_key, held = state.get("nearest", (None, None))
    if held_key == key and held:
        st.html(markup.nearest(held, words))


def forget() -> None:
    """Take away the upload and what was written."""
    for key in ("written", "nearest", "picture"):
        state.pop(key, None)
    state["round"] = state.get("round", 0) + 1


if __name__ == "__main__":
    page()
