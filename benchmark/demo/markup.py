"""The page's own pieces of HTML. Whatever comes from models, data or users is escaped here, and only here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from benchmark.demo.heat import Sentence
from benchmark.demo.nearest import Nearest
from benchmark.demo.pictures import Picture
from benchmark.demo.writing import Written
from benchmark.schema import LABEL_VALUES, Reference
from benchmark.sections import split_output

TALLEST = 300
"""Height of a picture on a wide page, in pixels."""
SECTIONS = ("findings", "impression")
Words = Mapping[str, str]


def line(kind: str, text: str) -> str:
    """`notice`, `problem` or `hint`."""
    role = ' role="alert"' if kind == "problem" else ""
    return f'<p class="{kind}"{role}>{escape(text)}</p>'


def films(picture: Picture, written: Sequence[Written], words: Words) -> str:
    """The radiograph, and beside it the same under the maps of all sentences, each shown while its sentence is."""
    width, height = picture.size
    style = f"--width: {round(TALLEST * width / height)}px; aspect-ratio: {width} / {height}"
    image = f'<img src="{picture.shown}" alt="{escape(words["image"])}">'
    left = f'<figure><div class="film" style="{style}">{image}</div><figcaption>{escape(words["image"])}: ' + (
        f"{escape(picture.name)}</figcaption></figure>"
    )
    heats = {
        _name(number, section, i): sentence.heat
        for number, each in enumerate(written)
        for section in SECTIONS
        for i, sentence in enumerate(getattr(each, section))
        if sentence.heat
    }
    if not heats:
        hint = escape(words["no_looks"]) if written else ""
        return f'<div class="films">{left}</div><p class="hint">{hint}</p>'
    maps = "".join(f'<img class="heat of-{name}" src="{uri}" alt="">' for name, uri in heats.items())
    # Within the page's :has the pointer over a sentence reaches the map, which stands elsewhere.
    rules = "".join(f"body:has(.{n}:hover, .{n}:focus) .of-{n} {{ opacity: 1; }}" for n in heats)
    caption = f"{escape(words['heat'])}. <em>{escape(words['point'])}</em>"
    right = f'<figure><div class="film" style="{style}">{image}{maps}</div><figcaption>{caption}</figcaption></figure>'
    return f'<style>{rules}</style><div class="films">{left}{right}</div>'


def maker(model: str, checkpoint: str) -> str:
    """Who writes."""
    return f'<p class="maker"><b>{escape(model)}</b> · {escape(checkpoint)}</p>'


def growing(text: str, words: Words) -> str:
    """A report that is being written, without a heading of which only the beginning is there."""
    last = text.rpartition(" ")[2]
    if last and any(f"{section}:".startswith(last.lower()) for section in SECTIONS):
        text = text[: -len(last)]
    findings, impression = split_output(text)
    caret = '<span class="caret"></span>'
    boxes = {"findings": escape(findings), "impression": escape(impression)}
    boxes["impression" if impression else "findings"] += caret
    return "".join(_box(words[section], f"<p>{boxes[section]}</p>", section) for section in SECTIONS)


def report(written: Written, number: int, words: Words) -> str:
    """A report that is written, its sentences ready to be pointed at; the page's report of that number."""
    boxes = ""
    for section in SECTIONS:
        sentences: Sequence[Sentence] = getattr(written, section)
        marked = " ".join(_sentence(each, _name(number, section, i)) for i, each in enumerate(sentences))
        none = f'<p class="none">{escape(words["nothing_written"])}</p>'
        boxes += _box(words[section], f"<p>{marked}</p>" if marked else none, section)
    prediction = written.prediction
    took = words["took" if prediction.n_tokens else "took_at_once"]
    said = took.format(tokens=prediction.n_tokens, seconds=f"{prediction.seconds:.2f}")
    if prediction.truncated:
        said += f" · {words['truncated']}"
    settings = ", ".join(f"{words.get(key, key)} {words.get(str(v), v)}" for key, v in written.settings.items())
    return f'{boxes}<p class="hint">{escape(said)}<br>{escape(settings)}</p>'


def labels(written: Written, words: Words) -> str:
    """The classes that the text states, what is present first."""
    order = list(LABEL_VALUES)
    found = sorted(written.labels.items(), key=lambda item: (order.index(item[1]) if item[1] != -1 else 0.5, item[0]))
    if not found:
        return line("hint", words["no_labels"])
    items = "".join(
        f'<li class="{kind}">{escape(words[name])} <small>{escape(words[kind])}</small></li>'
        for name, kind in ((name, LABEL_VALUES[value]) for name, value in found)
    )
    return f'<ul class="labels">{items}</ul>'


def reference(of: Reference, words: Words) -> str:
    """A radiologist's report as it stands."""
    return "".join(
        _box(words[section], f"<p>{escape(text)}</p>", section)
        for section in SECTIONS
        if (text := getattr(of, section))
    )


def nearest(found: Nearest, words: Words) -> str:
    """A training study beside its report."""
    image = f'<img src="{found.shown}" alt="{escape(words["nearest"])}">'
    said = words["nearest_help"].format(similarity=f"{found.similarity:.3f}")
    left = f'<div>{image}<p class="hint">{escape(found.study_id)}</p></div>'
    return f'<div class="near">{left}<div>{reference(found.reference, words)}{line("hint", said)}</div></div>'


def _box(heading: str, inner: str, kind: str) -> str:
    return f'<section class="box {kind}"><h3>{escape(heading)}</h3>{inner}</section>'


def _sentence(sentence: Sentence, name: str) -> str:
    looked = f' looked {name}" tabindex="0' if sentence.heat else ""
    return f'<span class="sentence{looked}">{escape(sentence.text)}</span>'


def _name(number: int, section: str, i: int) -> str:
    return f"s-{number}-{section}-{i}"
