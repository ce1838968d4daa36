"""Facts about MIMIC-CXR's section headings, as the official parser holds them.

Source: MIT-LCP/mimic-cxr, txt/section_parser.py (headings seen in 227,835 reports, and 54 studies treated one by one).
"""

from __future__ import annotations

CANONICAL = {
    "impression": (
        "impression conclusion impresson imprression imoression impressoin imprssion impresion imperssion mpression "
        "impession ndication"
    ).split()
    + ["findings and impression", "findings/impression", "findings/ impression"],
    "findings": "findings finding findins findindgs findgings findngs findnings finidngs".split()
    + ["chest, two views", "reference findings"],
    "comparison": "comparison comparisons comparision comparsion comparrison comparisions".split()
    + ["reference exam", "comparison exam", "comparison film"],
    "indication": "indication idication".split() + ["reason for examination", "reason for exam", "clinical indication"],
    "history": ["history", "clinical history", "clinical information", "patient history", "pfi"],
    "examination": ["examination", "exam", "type of examination"],
    "recommendations": ["recommendation(s)", "recommendations", "recommendation"],
    "wet read": ["wet read", "wetread"],
    **{name: [name] for name in ("preamble", "technique", "notification", "addendum", "date", "comment")},
}
"""Section name -> headings that mean exactly it. `ndication` is an impression: so the official map has it."""

NAMES = {heading: name for name, headings in CANONICAL.items() for heading in headings}

CONTAINED = ("impression", "findings", "history", "comparison", "addendum")
"""A heading that contains one of these words, tried in this order, belongs to that section."""

VIEW_WORDS = (
    "chest",
    "portable",
    "pa and lateral",
    "lateral and pa",
    "ap and lateral",
    "lateral and ap",
    "frontal and",
    "two views",
    "frontal view",
    "pa view",
    "ap view",
    "one view",
    "lateral view",
    "bone window",
    "frontal upright",
    "frontal semi-upright",
    "ribs",
    "pa and lat",
)
"""Headings that describe the examination stand over findings."""

SPECIAL_NAMES = {
    "recommendations": "50913680 59768032 59067458 59087630 58157373 56482935 58375018",
    "examination": "59363654 53356173 50743547 59215320 55157853",
    "technique": "59279892 53202765 50808053",
    "indication": "57936451 50058765 51966317 55124749 54365831 54654948",
    "note": "56451190",
    "history": "51491012",
}
SPECIAL_SECTION = {study: name for name, studies in SPECIAL_NAMES.items() for study in studies.split()}
"""Study id -> the section that its label text was taken from."""

SPECIAL_SLICE = {
    "50525523": (201, 349),
    "57564132": (233, 554),
    "59982525": (313, 717),
    "53488209": (149, 475),
    "54875119": (234, 988),
    "50196495": (59, 399),
    "56579911": (59, 218),
    "52648681": (292, 631),
    "59889364": (172, 453),
    "53514462": (73, 377),
    "59505494": (59, 450),
    "53182247": (59, 412),
    "51410602": (47, 320),
    "56412866": (522, 822),
    "54986978": (59, 306),
    "59003148": (262, 505),
    "57150433": (61, 394),
    "56760320": (219, 457),
    "59562049": (158, 348),
    "52674888": (145, 296),
    "55258338": (192, 568),
    "59330497": (140, 655),
    "52119491": (179, 454),
    **{study: (0, 0) for study in "58235663 50798377 54168089 53071062 56724958 54231141 53607029 52035334".split()},
}
"""Study id -> the characters of the report that are its label text; (0, 0) where it has none."""
