"""What several test files share: one METEOR process of ours and one of pycocoevalcap's (each takes ten seconds)."""

import os

import pytest

from benchmark import java
from benchmark.contracts import MetricContext
from benchmark.metrics.meteor import Metric as Meteor


@pytest.fixture(scope="session")
def java_on_path():
    """pycocoevalcap calls `java` by that name; the benchmark does not need this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.path.dirname(java.find()), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def meteor():
    return Meteor(MetricContext())


@pytest.fixture(scope="session")
def coco_meteor(java_on_path):
    from pycocoevalcap.meteor.meteor import Meteor as CocoMeteor

    return CocoMeteor()


@pytest.fixture(scope="session")
def coco_tokenizer(java_on_path):
    """Token strings of texts, made by pycocoevalcap itself."""
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    def tokenize(texts):
        lines = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
        return [lines[i][0] for i in range(len(texts))]

    return tokenize
