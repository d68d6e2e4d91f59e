"""Meta's signature: HMAC-SHA256 of the raw body with the app's secret, compared in constant time.

The signature carries no time, so a replayed webhook is valid; duplicates are dropped where they would have an effect.
Source: Meta's webhook documentation (`X-Hub-Signature-256: sha256=<64 hex digits>`).
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Literal

Verdict = Literal["current", "previous", "missing", "malformed", "wrong"]

_PREFIX = b"sha256="
_HEX_DIGITS = frozenset(b"0123456789abcdef")


def check_signature(secrets: Sequence[bytes], body: bytes, header: bytes | None) -> Verdict:
    """Tell whether a body is signed with one of an app's secrets: the first is current, others are leaving.

    Every secret is tried, whichever fits, so that the time taken tells nothing about which one it was.
    """
    if not header:
        return "missing"
    shown = header.strip().lower()
    digest = shown[len(_PREFIX) :]
    if not shown.startswith(_PREFIX) or len(digest) != 64 or not _HEX_DIGITS.issuperset(digest):
        return "malformed"
    fits = [hmac.compare_digest(hmac.digest(secret, body, "sha256").hex().encode(), digest) for secret in secrets]
    if not any(fits):
        return "wrong"
    return "current" if fits[0] else "previous"
