from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from comanda_botpod.handlers.contained.channel import BadFrameError, Channel

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
class TestChannel:
    def test_frames_arrive_whole_and_in_order(self, run: Run) -> None:
        async def main() -> None:
            ours, theirs = await pair(200_000)
            sent = [b"", b"{}", b"x" * 200_000]
            for frame in sent:
                ours.put(frame)
            assert [await theirs.read() for _ in sent] == sent
            await drop(ours, theirs)

        run(main())

    def test_a_frame_that_is_too_large_is_refused_before_it_is_read(self, run: Run) -> None:
        async def main() -> None:
            ours, theirs = await pair(10)
            ours.put(b"x" * 11)
            with pytest.raises(BadFrameError, match="11 bytes"):
                await theirs.read()
            await drop(ours, theirs)

        run(main())

    def test_the_end_of_the_other_side_is_the_end_of_the_frames(self, run: Run) -> None:
        async def main() -> None:
            ours, theirs = await pair(10)
            await drop(ours)
            assert await theirs.read() is None
            await drop(theirs)

        run(main())

    def test_a_frame_for_a_closed_channel_is_dropped(self, run: Run) -> None:
        async def main() -> None:
            ours, theirs = await pair(10)
            await drop(ours, theirs)
            ours.put(b"late")

        run(main())


async def pair(largest: int) -> tuple[Channel, Channel]:
    sockets = socket.socketpair()
    for sock in sockets:
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
    ours, theirs = [await Channel.over(sock, largest=largest) for sock in sockets]
    return ours, theirs


async def drop(*channels: Channel) -> None:
    for channel in channels:
        channel.close()
        await channel._writer.wait_closed()
