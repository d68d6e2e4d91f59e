"""W3C Trace Context: `traceparent` is handed on as it came, so that what an ingress began can be followed to the pod.

Source: the W3C recommendation "Trace Context", version 00: `00-<trace id>-<parent id>-<flags>` in lower-case hex,
neither id all zeros, one header.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_VERSION_00 = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def read_traceparent(values: Sequence[bytes]) -> str:
    """Return the one valid value of a request's `traceparent` headers, without the spaces around it; else ""."""
    value = values[0].strip(b" \t") if len(values) == 1 else b""
    return value.decode() if _VERSION_00.fullmatch(value) else ""


def trace_id_of(traceparent: str) -> str:
    """Return the trace id of a valid `traceparent`, or "" of none."""
    return traceparent[3:35]


def is_sampled(traceparent: str) -> bool:
    """Tell whether whoever began the trace records it."""
    return bool(traceparent) and bool(int(traceparent[-2:], 16) & 1)
