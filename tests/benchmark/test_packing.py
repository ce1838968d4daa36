"""Slices in an aggregate's file."""

import json

from benchmark import packing


def metric(value):
    return {"value": value, "low": None if value is None else value - 0.1, "high": None}


def test_what_is_unpacked_is_what_was_packed():
    slices = {
        "normal": {
            "attribute": "labels",
            "n": 3,
            "few": True,
            "metrics": {"cider": metric(1.5), "bleu_1": metric(None)},
        },
        "groups": {"attribute": "sex", "n": 9, "few": False, "metrics": {"bleu_1": metric(0.5)}},
    }
    assert packing.unpack(json.loads(json.dumps(packing.pack(slices)))) == slices
    assert packing.unpack(packing.pack({})) == {}
