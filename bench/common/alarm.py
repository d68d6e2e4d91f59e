"""Waking at a moment: asyncio's timers are late by up to a millisecond, since it waits in whole ones."""

from __future__ import annotations

import asyncio
import ctypes
import os
from time import CLOCK_MONOTONIC
from typing import Self

_ABSOLUTE = 1
_libc = ctypes.CDLL(None, use_errno=True)


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("every", _Time), ("first", _Time))


class Alarm:
    """Lets one task at a time sleep until a moment of `time.monotonic()`, which is also asyncio's own clock.

    Source: `man timerfd_create`; Python has it from 3.13 on. Raises `OSError` when the kernel has none to give.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = _checked(_libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
        self._rung: asyncio.Future[None] | None = None

    def __enter__(self) -> Self:
        self._loop.add_reader(self._descriptor, self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    async def at(self, moment: float) -> None:
        """Return when the moment has come; at once when it is past."""
        if moment <= self._loop.time():
            return
        setting = _Setting(_Time(0, 0), _Time(*divmod(int(moment * 1e9) + 1, 10**9)))
        _checked(_libc.timerfd_settime(self._descriptor, _ABSOLUTE, ctypes.byref(setting), None))
        self._rung = self._loop.create_future()
        await self._rung

    def _ring(self) -> None:
        os.read(self._descriptor, 8)
        if self._rung is not None and not self._rung.done():
            self._rung.set_result(None)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
