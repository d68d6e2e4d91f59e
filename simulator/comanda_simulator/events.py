"""The ledger as server-sent events: what the chat page lives on. A reader that comes back misses nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse

from comanda_simulator.cloud import Cloud
from comanda_simulator.ledger import Entry, Filter
from comanda_simulator.payloads import encode

_HEARTBEAT_SECONDS = 15.0


def stream_events(cloud: Cloud, request: Request, wanted: Filter) -> StreamingResponse:
    """Answer with wanted entries after `Last-Event-ID` (or `after`), then with each new one.

    The first event, `hello`, names the run: a reader that sees another run than before starts over. An event `acked`
    follows when the webhook of a customer's message was answered 200; those missed meanwhile are in the ledger.
    """
    position = request.headers.get("last-event-id") or request.query_params.get("after") or ""
    seq = int(position) if position.isdigit() else cloud.ledger.last
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(cloud, seq, wanted), media_type="text/event-stream", headers=headers)


async def _events(cloud: Cloud, seq: int, wanted: Filter) -> AsyncIterator[bytes]:
    ledger = cloud.ledger
    acks = ledger.acknowledged.last
    yield b"retry: 1000\nevent: hello\ndata: " + encode({"run": ledger.run, "last": ledger.last}) + b"\n\n"
    if seq > ledger.last:
        seq = 0
    while not cloud.closing:
        events = [_event(entry) for entry in ledger.entries.after(seq) if wanted.matches(entry)]
        events += [_acked(entry) for entry in ledger.acknowledged.after(acks) if wanted.matches(entry)]
        seq, acks = ledger.last, ledger.acknowledged.last
        if events:
            yield b"".join(events)
        if (seq, acks) == (ledger.last, ledger.acknowledged.last):
            await ledger.wait(_HEARTBEAT_SECONDS)
        if (seq, acks) == (ledger.last, ledger.acknowledged.last):
            yield b": still here\n\n"


def _event(entry: Entry) -> bytes:
    # Payloads are JSON as it came; line ends in it can only be white space, and would end the event early.
    data = encode(entry).replace(b"\r", b" ").replace(b"\n", b" ")
    return b"id: %d\nevent: entry\ndata: %b\n\n" % (entry.seq, data)


def _acked(entry: Entry) -> bytes:
    # Without an id: what a reader resumes from is the last entry it saw.
    return b"event: acked\ndata: %b\n\n" % encode({"seq": entry.seq, "wamid": entry.wamid})
