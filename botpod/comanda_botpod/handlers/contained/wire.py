"""The frames between the pod and a worker: JSON, tagged by `type`. The pod checks everything by decoding it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from comanda_botpod.handlers.sdk.context import Fact, Level
from comanda_botpod.handlers.sdk.gathered import EFFECTS_BYTES, FILE_BYTES, Effects
from comanda_botpod.handlers.sdk.orders import PastOrder
from comanda_botpod.handlers.sdk.turn import Facts

_Content = Annotated[bytes, msgspec.Meta(max_length=FILE_BYTES)]
_Line = Annotated[str, msgspec.Meta(max_length=1000)]


class _Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """Base of all frames."""


# From the pod


class Start(_Frame, frozen=True, kw_only=True):
    """The first frame: whose worker this is and how much memory it may take; answered by `Ready` or `Unusable`."""

    tenant: str
    memory_mib: int


class Menu(_Frame, frozen=True, kw_only=True):
    """The restaurant that later turns see: the document `[restaurant, currency, timezone, locale]` as JSON text."""

    display_name: str
    document: str


class Turn(_Frame, frozen=True, kw_only=True):
    """A turn to run; answered by `Done` or `Failed`, once."""

    id: int
    facts: Facts


class Cancel(_Frame, frozen=True, kw_only=True):
    """The turn's time is up. It is answered all the same."""

    id: int


class Past(_Frame, frozen=True, kw_only=True):
    """The answer to `AskPast`; `available` is false when they could not be read."""

    id: int
    orders: tuple[PastOrder, ...] = ()
    available: bool = True


class Fetched(_Frame, frozen=True, kw_only=True):
    """The answer to `Fetch`: the file that the message brought."""

    id: int
    content: _Content
    mime_type: str


class Uploaded(_Frame, frozen=True, kw_only=True):
    """The answer to `Upload`: Meta's id of the file."""

    id: int
    media: str


class NoFile(_Frame, frozen=True, kw_only=True):
    """The answer to `Fetch` or `Upload` when it failed: a sentence for the handler; `again`: it may work later."""

    id: int
    problem: str
    hint: str = ""
    again: bool = False


class Ping(_Frame, frozen=True, kw_only=True):
    """Answered by `Pong`, as soon as the worker's event loop turns."""

    number: int


FileAnswer = Fetched | Uploaded | NoFile
Down = Start | Menu | Turn | Cancel | Past | FileAnswer | Ping


# From the worker


class Ready(_Frame, frozen=True, kw_only=True):
    """The handler is found and imported."""


class Unusable(_Frame, frozen=True, kw_only=True):
    """The handler cannot be used; the worker ends."""

    problem: _Line


class Done(_Frame, frozen=True, kw_only=True):
    """The handler returned."""

    id: int
    effects: Effects


class Failed(_Frame, frozen=True, kw_only=True):
    """The handler raised.

    `error` is the exception's type, `at` the line of the handler's own code in which it came up, `problem` the sentence
    of an error that is ours and safe to show, `frames` the whole way there, the innermost last.
    """

    id: int
    error: _Line
    at: _Line = ""
    problem: _Line = ""
    frames: Annotated[tuple[_Line, ...], msgspec.Meta(max_length=20)] = ()


class AskPast(_Frame, frozen=True, kw_only=True):
    """The turn wants the customer's last orders; asked once a turn."""

    id: int


class Fetch(_Frame, frozen=True, kw_only=True):
    """The turn wants the file that its message brought; answered, whatever becomes of the turn.

    A worker asks for one file at a time, in either direction, so that no more than one of it is in memory.
    """

    id: int


class Upload(_Frame, frozen=True, kw_only=True):
    """The turn hands a file over, to be sent; answered like `Fetch`."""

    id: int
    content: _Content
    mime_type: Annotated[str, msgspec.Meta(max_length=200)]


class Pong(_Frame, frozen=True, kw_only=True):
    """The loop turns."""

    number: int


class Said(_Frame, frozen=True, kw_only=True):
    """The handler logs an event."""

    level: Level
    event: _Line
    facts: Annotated[dict[str, Fact], msgspec.Meta(max_length=20)] = {}


AskFile = Fetch | Upload
Up = Ready | Unusable | Done | Failed | AskPast | AskFile | Pong | Said

USUAL_BYTES = EFFECTS_BYTES + 1024
"""The largest frame of a worker that is no file: what a turn asks for, in its envelope."""
UP_BYTES = FILE_BYTES * 4 // 3 + 1024
"""The largest frame of a worker: a file in base64, in its envelope."""
DOWN_BYTES = 64 * 1024 * 1024
"""The largest frame of the pod: a menu is a ConfigMap's size; a message is at most 3 MB."""

encode = msgspec.json.Encoder().encode
decode_down = msgspec.json.Decoder(Down).decode
decode_up = msgspec.json.Decoder(Up).decode
