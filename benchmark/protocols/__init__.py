"""Named evaluation protocols: what is done to texts before they are scored. A score without its protocol is no score.

A protocol is one file here that defines a class `Protocol` derived from `_base.Protocol`.
"""

from __future__ import annotations

from benchmark.protocols._base import Protocol
from benchmark.registry import Registry

PROTOCOLS = Registry("protocol", "benchmark.protocols", "Protocol")


def names() -> list[str]:
    return PROTOCOLS.names()


def load(name: str) -> Protocol:
    """The protocol of that name. Raises UserError for an unknown one, with the near names."""
    protocol: Protocol = PROTOCOLS.load(name)()
    return protocol
