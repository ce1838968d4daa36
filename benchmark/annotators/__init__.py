"""Models that annotate a report: CheXbert's labels and vector, RadGraph's entities and relations.

The published weights, read by this project's own code: the packages f1chexbert 0.0.2 and radgraph 0.1.18 call what
transformers 5 no longer has (`encode_plus`, `build_inputs_with_special_tokens`). On the same weights both give the same
annotations; the tests hold what the packages gave.
"""

REPOSITORY = "StanfordAIMI/RRG_scorers"
"""Hub id under which the published weights of CheXbert and RadGraph lie."""
