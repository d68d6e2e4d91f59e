"""A handler that does whatever it is told, mostly bad things: the customer's text says what."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from comanda_botpod.handlers.api import CartLine, Context, MediaError, Message, OrderWish
from comanda_botpod.handlers.contained.channel import Channel

MARKS = Path(os.environ.get("MARKS_DIR", "."))
PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_meeting = asyncio.Event()
_kept: list[Any] = []


async def handle(context: Context, message: Message) -> None:
    if message.type == "timer":
        context.send.text(f"timer: {json.dumps(message.payload)}")
        return
    deed, _, argument = message.text.partition(" ")
    await DEEDS.get(deed, greet)(context, argument)


async def greet(context: Context, argument: str) -> None:
    context.state["turns"] = context.state.get("turns", 0) + 1
    context.send.text(f"turn {context.state['turns']} of {context.tenant} in {os.getpid()}")


async def raises(context: Context, argument: str) -> None:
    context.send.text("never sent")
    context.state["never"] = "kept"
    raise RuntimeError(f"{context.customer.phone} wrote {argument}")


async def hang(context: Context, argument: str) -> None:
    await asyncio.Event().wait()


async def stubborn(context: Context, argument: str) -> None:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            (MARKS / "cancelled").touch()


async def sleeps(context: Context, argument: str) -> None:
    (MARKS / "asleep").touch()
    time.sleep(3600)  # noqa: ASYNC251 - the deed itself


async def spins(context: Context, argument: str) -> None:
    while True:
        pass


async def leaves(context: Context, argument: str) -> None:
    os._exit(3)


async def asks_to_leave(context: Context, argument: str) -> None:
    sys.exit(4)


async def leaves_a_fork_behind(context: Context, argument: str) -> None:
    if os.fork() == 0:
        while True:
            time.sleep(3600)  # noqa: ASYNC251 - the deed itself
    os._exit(5)


async def hoards_memory(context: Context, argument: str) -> None:
    _kept.append(b"x" * (int(argument) << 20))
    await asyncio.Event().wait()


async def gulps_memory(context: Context, argument: str) -> None:
    _kept.append(bytearray(100 << 30))


async def floods(context: Context, argument: str) -> None:
    for number in range(20_000):
        sys.stdout.write(f"line {number} {'x' * 40}\n")
    sys.stderr.write("y" * 300_000)
    context.send.text("flooded")


async def tells(context: Context, argument: str) -> None:
    sys.stdout.write(f"phone {context.customer.phone} and +56 9 1111-2222, key {os.environ.get('BOT_KEY')}\n")
    sys.stderr.write("wamid.HBgLNTY5MTExMTIyMjIVAgASGBQzQTdB and EAAGm0PX4ZCpsBO5ZBtoken\n")
    context.log.warning("told", phone=context.customer.phone, note=f"key {os.environ.get('BOT_KEY')}", lines=2)
    context.send.text("told")


async def keeps_too_much(context: Context, argument: str) -> None:
    context.state["blob"] = "x" * (64 * 1024)


async def keeps_a_set(context: Context, argument: str) -> None:
    context.state["cart"] = [{"skus": {"MARG"}}]


async def says_too_much(context: Context, argument: str) -> None:
    context.send.text("x" * 4097)


async def says_too_much_in_all(context: Context, argument: str) -> None:
    context.send.document("https://example.com/a.pdf", filename="x" * 2_000_000)


async def says_no_unicode(context: Context, argument: str) -> None:
    context.send.text("\ud800")


async def nests_too_deep(context: Context, argument: str) -> None:
    component: dict[str, Any] = {}
    for _ in range(100_000):
        component = {"type": component}
    context.send.template("thanks", "es", [component])


async def logs(context: Context, argument: str) -> None:
    for number in range(int(argument)):
        context.log.info("step", number=number)
    context.send.text("logged")


async def sends_a_wrong_type(context: Context, argument: str) -> None:
    context.send.text("hola", preview_url="yes")  # type: ignore[arg-type]


async def orders(context: Context, argument: str) -> None:
    wish = OrderWish(
        lines=(CartLine(sku=argument, quantity=2),), fulfilment="pickup", customer_name=context.customer.name
    )
    draft = context.orders.place(wish)
    context.send.text(f"{draft.code} {draft.total_minor}")


async def recalls(context: Context, argument: str) -> None:
    first, second = await asyncio.gather(context.orders.recent(), context.orders.recent())
    assert first == second
    context.send.text(", ".join(f"{past.code} {past.total_minor}" for past in first))


async def waits(context: Context, argument: str) -> None:
    context.schedule(timedelta(minutes=5), {"about": argument})
    context.send.text("later")


async def hands_over(context: Context, argument: str) -> None:
    context.handover()
    context.send.text("Ya te atienden.")


async def meets(context: Context, argument: str) -> None:
    """Return once a second conversation is here as well."""
    if argument == "first":
        await _meeting.wait()
    _meeting.set()
    context.send.text(f"met {argument}")


async def bears_with(context: Context, argument: str) -> None:
    """Never return in the first process that is asked, and at once in any other."""
    first = MARKS / "first-process"
    if not first.exists():
        first.write_text(str(os.getpid()))
    (MARKS / f"{argument}.begun").touch()
    if first.read_text() == str(os.getpid()):
        await asyncio.Event().wait()
    context.send.text(f"{argument} survived")


async def shows(context: Context, argument: str) -> None:
    descriptors = await asyncio.to_thread(_descriptors)
    context.send.text(json.dumps({"environment": dict(os.environ), "descriptors": descriptors}))


async def garbles(context: Context, argument: str) -> None:
    """Write into the channel itself, behind the back of the process's own code."""
    channel = next(each for each in gc.get_objects() if isinstance(each, Channel))
    channel.put(b"x" * 2_000_000 if argument == "long" else argument.encode())
    await asyncio.Event().wait()


def _descriptors() -> dict[str, str]:
    listed = list(Path("/proc/self/fd").iterdir())
    return {path.name: str(path.readlink()) for path in listed if path.is_symlink()}


async def calls(context: Context, argument: str) -> None:
    async with context.http.get(argument) as response:
        context.send.text(await response.text())


async def echoes(context: Context, argument: str) -> None:
    """Send the file back that came, and say what it was."""
    file = await context.media.fetch()
    media_id = await context.media.upload(file.content, file.mime_type)
    context.send.image(media_id=media_id, caption=f"{len(file.content)} {file.mime_type}")


async def asks_for_a_file(context: Context, argument: str) -> None:
    try:
        await context.media.fetch()
    except MediaError as error:
        context.send.text(f"{error} again={error.again}")


async def fetches_too_often(context: Context, argument: str) -> None:
    await asyncio.gather(*(context.media.fetch() for _ in range(5)))


async def hands_over_too_much(context: Context, argument: str) -> None:
    await context.media.upload(PNG_HEAD + bytes(5 * 1024 * 1024), "image/png")


async def hands_over_a_disguise(context: Context, argument: str) -> None:
    await context.media.upload(b"MZ" + bytes(100), "image/png")


async def asks_behind_the_back(context: Context, argument: str) -> None:
    """Ask for more files than a turn may have, past the count in its own process."""
    for _ in range(5):
        with suppress(MediaError):
            await context.media._transfers.fetch()


DEEDS: dict[str, Callable[[Context, str], Awaitable[None]]] = {
    "raise": raises,
    "hang": hang,
    "stubborn": stubborn,
    "sleep": sleeps,
    "spin": spins,
    "leave": leaves,
    "ask-to-leave": asks_to_leave,
    "fork": leaves_a_fork_behind,
    "hoard": hoards_memory,
    "gulp": gulps_memory,
    "flood": floods,
    "tell": tells,
    "keep-too-much": keeps_too_much,
    "keep-a-set": keeps_a_set,
    "say-too-much": says_too_much,
    "say-too-much-in-all": says_too_much_in_all,
    "say-no-unicode": says_no_unicode,
    "nest-too-deep": nests_too_deep,
    "log": logs,
    "wrong-type": sends_a_wrong_type,
    "order": orders,
    "recall": recalls,
    "wait": waits,
    "hand-over": hands_over,
    "meet": meets,
    "bear": bears_with,
    "show": shows,
    "call": calls,
    "garble": garbles,
    "echo": echoes,
    "ask-for-a-file": asks_for_a_file,
    "fetch-too-often": fetches_too_often,
    "hand-over-too-much": hands_over_too_much,
    "hand-over-a-disguise": hands_over_a_disguise,
    "ask-behind-the-back": asks_behind_the_back,
}

nothing_to_call = "a text"


def not_async(context: Context, message: Message) -> None:
    """Looks like a handler, and is none."""
