"""Fifty connections that mean no good: `python attackers.py PORT`, until standard input ends; says what they got.

Each goes on as soon as it is answered, and comes again when it is cut off. No signature is right.

- *forged*: usual webhooks of 1 KB, signed with another secret;
- *large*: bodies of 3 MB, as long as the longest that Meta sends, signed with another secret;
- *slow*: a whole head, then a byte of the body every tenth of a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

CONNECTIONS = {"forged": 20, "large": 10, "slow": 20}
LARGE_BYTES = 3 * 1024 * 1024
BYTE_SECONDS = 0.1

Attack = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Counter[str]], Coroutine[Any, Any, None]]


async def attack(port: int) -> Counter[str]:
    """Attack until standard input ends; returns how many answers of each kind came, by kind and status."""
    got: Counter[str] = Counter()
    tasks = [
        asyncio.create_task(_come_again(kind, port, got)) for kind, count in CONNECTIONS.items() for _ in range(count)
    ]
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return got


async def _come_again(kind: str, port: int, got: Counter[str]) -> None:
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(BYTE_SECONDS)
            continue
        try:
            await KINDS[kind](reader, writer, got)
        except (OSError, asyncio.IncompleteReadError):
            got[f"{kind} cut off"] += 1
        finally:
            writer.close()


async def _forge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Counter[str]) -> None:
    await _go_on("forged", 1024, reader, writer, got)


async def _send_large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Counter[str]) -> None:
    await _go_on("large", LARGE_BYTES, reader, writer, got)


async def _go_on(
    kind: str, length: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Counter[str]
) -> None:
    request = _head(length) + BODY[:length]
    while True:
        writer.write(request)
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        got[f"{kind} {head[9:12].decode()}"] += 1


async def _trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, got: Counter[str]) -> None:
    writer.write(_head(1024))
    for place in range(1024):
        if reader.at_eof():
            break
        writer.write(BODY[place : place + 1])
        await writer.drain()
        await asyncio.sleep(BYTE_SECONDS)
    got["slow cut off"] += 1


def _head(length: int) -> bytes:
    forged = "sha256=" + "ab" * 32
    head = f"POST /webhook HTTP/1.1\r\nHost: hooks.example.com\r\nX-Hub-Signature-256: {forged}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


BODY = b'{"entry":[' + b" " * LARGE_BYTES
KINDS: dict[str, Attack] = {"forged": _forge, "large": _send_large, "slow": _trickle}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(attack(int(sys.argv[1])))))
