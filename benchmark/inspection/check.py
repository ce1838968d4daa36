"""What a copy of a data set holds, against what it should hold: counts, damage, copies, lengths, labels."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import provenance
from benchmark.contracts import Dataset
from benchmark.inspection.pictures import Picture, examine
from benchmark.novelty import plain
from benchmark.schema import LABEL_VALUES, Reference, Study

EXAMPLES = 5
"""So many ids or sentences are given of each kind of damage."""


def check(dataset: Dataset, splits: Sequence[str], results: Path, decode: bool = True) -> dict[str, Any]:
    """Everything about `splits` of a data set as JSON types.

    `problems` are sentences about damage, `notes` about what a reader should know. With `decode` every image is opened
    (remembered under `results`/cache), without it only looked for. Raises UserError where the data set cannot be read.
    """
    listed = {split: dataset.listed(split) for split in splits}
    references = {split: dataset.references(split) for split in splits}
    paths = [view.path for studies in listed.values() for study in studies for view in study.views]
    ledger = results / "cache" / f"pictures-{dataset.name}-{provenance.digest(str(dataset.root))[:8]}.jsonl"
    pictures = examine(paths if dataset.has_images else [], ledger, decode)
    training = next((split for split in splits if split == "train"), None)
    found: dict[str, Any] = {
        "dataset": dataset.name,
        "layout": dataset.layout,
        "root": str(dataset.root),
        "version": dataset.VERSION,
        "licence": dataset.LICENCE,
        "limits": list(dataset.limits),
        "images_decoded": decode and dataset.has_images,
        "splits": {
            split: {
                "official": dict(dataset.official.get(split, {})),
                "listed": _counts(listed[split]),
                "used": len(references[split]),
                "left_out": _left_out(dataset.left_out(split), dataset.DAMAGE),
                "images": _images(listed[split], pictures) if dataset.has_images else None,
                "views": dict(Counter(v.position or "unknown" for s in listed[split] for v in s.views).most_common()),
                "words": {name: _words(r.section(name) for r in references[split]) for name in _SECTIONS},
                "repeated": {name: _repeated(r.section(name) for r in references[split]) for name in _SECTIONS},
                "labels": _labels(references[split]),
                "fingerprint": provenance.fingerprint(dataset.studies(split), references[split]),
            }
            for split in splits
        },
        "unassigned": _left_out(dataset.unassigned(), dataset.DAMAGE),
        "patients_in_two_splits": _shared_patients(listed),
        "duplicate_images": _duplicates(listed, pictures),
        "copied_from_training": {
            split: _copied(references[split], references[training])
            for split in splits
            if training and split != training
        },
    }
    found["problems"], found["notes"] = _problems(found, dataset), _notes(found, dataset)
    return found


_SECTIONS = ("findings", "impression")


def _counts(studies: Sequence[Study]) -> dict[str, int]:
    return {
        "images": sum(len(study.views) for study in studies),
        "studies": len(studies),
        "patients": len({study.patient_id for study in studies}),
    }


def _left_out(reasons: Mapping[str, Sequence[str]], damage: frozenset[str]) -> dict[str, Any]:
    return {
        reason: {"n": len(ids), "damage": reason in damage, "examples": list(ids[:EXAMPLES])}
        for reason, ids in reasons.items()
    }


def _images(studies: Sequence[Study], pictures: Mapping[Path, Picture]) -> dict[str, Any]:
    here = [pictures[view.path] for study in studies for view in study.views]
    missing = [picture.path for picture in here if picture.missing]
    unreadable = [picture.error for picture in here if picture.error]
    return {
        "missing": len(missing),
        "missing_examples": missing[:EXAMPLES],
        "unreadable": len(unreadable),
        "unreadable_examples": unreadable[:EXAMPLES],
    }


def _words(texts: Iterable[str]) -> dict[str, float]:
    """Lengths of the texts that are not empty, in white-space separated words."""
    lengths = sorted(len(text.split()) for text in texts if text)
    if not lengths:
        return {"n": 0}
    return {
        "n": len(lengths),
        "mean": round(statistics.fmean(lengths), 1),
        "median": statistics.median(lengths),
        "p95": lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))],
        "max": lengths[-1],
    }


def _repeated(texts: Iterable[str]) -> dict[str, int]:
    """How many texts there are, how many different ones, and how often the commonest occurs."""
    counts = Counter(plain(text) for text in texts if text)
    return {"n": counts.total(), "distinct": len(counts), "commonest": max(counts.values(), default=0)}


def _labels(references: Sequence[Reference]) -> dict[str, Any]:
    """By source and class, how many studies are positive, negative, uncertain; unmentioned ones are not counted."""
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for reference in references:
        for source, labels in reference.label_sets.items():
            for name, value in labels.items():
                counts[source][name][LABEL_VALUES[value]] += 1
    return {
        source: {
            name: {value: of.get(value, 0) for value in LABEL_VALUES.values()} for name, of in sorted(by_class.items())
        }
        for source, by_class in sorted(counts.items())
    }


def _shared_patients(listed: Mapping[str, Sequence[Study]]) -> dict[str, Any]:
    splits: dict[str, set[str]] = defaultdict(set)
    for split, studies in listed.items():
        for study in studies:
            splits[study.patient_id].add(split)
    shared = sorted(patient for patient, of in splits.items() if len(of) > 1)
    return {"n": len(shared), "examples": shared[:EXAMPLES]}


def _duplicates(listed: Mapping[str, Sequence[Study]], pictures: Mapping[Path, Picture]) -> dict[str, Any]:
    """Groups of files with the same bytes: within a study, among studies of a split, and across splits."""
    owners: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for split, studies in listed.items():
        for study in studies:
            for view in study.views:
                picture = pictures.get(view.path)
                if picture is not None and picture.sha256:
                    owners[picture.sha256].append((split, study.study_id, view.image_id or view.path.name))
    groups = [of for of in owners.values() if len(of) > 1]
    # One file that several rows name (a copy with one row an image) is no duplicate of itself.
    groups = [of for of in groups if len({image for _, _, image in of}) > 1]
    across_splits = [of for of in groups if len({split for split, _, _ in of}) > 1]
    across_studies = [of for of in groups if len({study for _, study, _ in of}) > 1]
    return {
        "groups": len(groups),
        "across_studies": len(across_studies),
        "across_splits": len(across_splits),
        "examples": [[f"{study}/{image}" for _, study, image in of] for of in (across_splits or groups)[:EXAMPLES]],
    }


def _copied(references: Sequence[Reference], training: Sequence[Reference]) -> dict[str, Any]:
    """How many texts of a split stand word for word in the training split, case and punctuation aside."""
    copied = {}
    for name in _SECTIONS:
        known = {plain(reference.section(name)) for reference in training}
        texts = [plain(reference.section(name)) for reference in references if reference.section(name)]
        n = sum(text in known for text in texts)
        copied[name] = {"n": n, "of": len(texts), "share": round(n / len(texts), 4) if texts else None}
    return copied


def _problems(found: Mapping[str, Any], dataset: Dataset) -> list[str]:
    sentences = [problem.what for problem in dataset.check()]
    for split, facts in found["splits"].items():
        sentences += _damage(f"{split}: ", facts["left_out"])
        images = facts["images"] or {"missing": 0, "unreadable": 0}
        if images["missing"] and not dataset.lists_absent_images:
            example = images["missing_examples"][0]
            sentences.append(f"{split}: {images['missing']:,} images are missing, such as {example}.")
        if images["unreadable"]:
            sentences.append(
                f"{split}: {images['unreadable']:,} images cannot be read. {' '.join(images['unreadable_examples'])}"
            )
        if not facts["used"]:
            sentences.append(f"{split}: no study can be used.")
    sentences += _damage("", found["unassigned"])
    patients, duplicates = found["patients_in_two_splits"], found["duplicate_images"]
    if patients["n"]:
        sentences.append(f"{patients['n']:,} patients are in two splits, such as {patients['examples'][0]}.")
    if duplicates["across_splits"]:
        same = " and ".join(duplicates["examples"][0])
        sentences.append(f"{duplicates['across_splits']:,} images are in two splits under different names: {same}.")
    return sentences


def _damage(where: str, reasons: Mapping[str, Any]) -> list[str]:
    return [
        f"{where}{of['n']:,} × {reason}, such as {of['examples'][0]}." for reason, of in reasons.items() if of["damage"]
    ]


def _notes(found: Mapping[str, Any], dataset: Dataset) -> list[str]:
    sentences = []
    if not dataset.has_images:
        sentences.append("This copy holds texts alone: models that read images cannot run on it.")
    for split, facts in found["splits"].items():
        differing = [
            f"{facts['listed'][unit]:,} {unit} (officially {n:,})"
            for unit, n in facts["official"].items()
            if facts["listed"][unit] != n
        ]
        if differing:
            sentences.append(f"{split}: {', '.join(differing)}: not the whole data set.")
        images = facts["images"] or {"missing": 0}
        if images["missing"] and dataset.lists_absent_images:
            sentences.append(f"{split}: {images['missing']:,} images that the tables list are not in this release.")
    for split, sections in found["copied_from_training"].items():
        for name, copied in sections.items():
            if copied["n"]:
                sentences.append(
                    f"{split}: {copied['n']:,} of {copied['of']:,} {name} texts ({copied['share']:.0%}) stand word for "
                    "word in the training split."
                )
    duplicates = found["duplicate_images"]
    if duplicates["groups"] > duplicates["across_splits"]:
        sentences.append(f"{duplicates['groups']:,} images occur more than once under different names.")
    return sentences
