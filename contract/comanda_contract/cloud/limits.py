"""Meta's limits on what may be sent, in one place.

Source: Meta's Cloud API documentation as compiled in November 2026 (messages reference, media, error codes). Where
two pages differ the smaller figure stands. The counting unit is not documented, so lengths count UTF-16 units, the
strictest of the plausible ones.
"""

from __future__ import annotations

TEXT_BODY = 4096
INTERACTIVE_BODY = 1024
HEADER_TEXT = 60
FOOTER_TEXT = 60
BUTTONS = 3
BUTTON_TITLE = 20
BUTTON_ID = 256
LIST_BUTTON = 20
LIST_SECTIONS = 10
LIST_ROWS = 10
SECTION_TITLE = 24
ROW_ID = 200
ROW_TITLE = 24
ROW_DESCRIPTION = 72
CTA_DISPLAY_TEXT = 20
URL = 2000
CAPTION = 1024
PRODUCT_SECTIONS = 10
PRODUCTS = 30
CONTACTS = 257
CALLBACK_DATA = 512
WEBHOOK_BYTES = 3 * 1024 * 1024
"""Largest webhook body Meta posts: 3 MB (webhooks overview)."""

IMAGE_BYTES = 5 * 1024 * 1024
AUDIO_BYTES = 16 * 1024 * 1024
VIDEO_BYTES = 16 * 1024 * 1024
DOCUMENT_BYTES = 100 * 1024 * 1024

MESSAGES_PER_SECOND = 80
"""Throughput of one number, inbound and outbound together (error 130429 above it)."""
PAIR_SECONDS = 6
PAIR_BURST = 45
"""One message per 6 s to the same person, with a burst of 45 borrowed from the future (error 131056)."""
WINDOW_SECONDS = 24 * 3600
"""The customer service window: free-form messages only within 24 h of the customer's last message (error 131047)."""


def length(text: str) -> int:
    """Return the length that is held against a limit: UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
