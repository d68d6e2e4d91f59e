"""The workers of one tenant: one that runs the turns, and, after a death, one apart that finds the guilty turn.

When a worker dies, every turn in it is a suspect. Suspects run in the worker apart, one at a time, while all other
turns go on in a new worker: an innocent one ends well there, and a guilty one dies alone.
"""

from __future__ import annotations

import asyncio

import structlog

from comanda_botpod.handlers import metrics
from comanda_botpod.handlers.contained.child import (
    FallenError,
    RaisedError,
    Request,
    StartError,
    TimeIsUpError,
    Watch,
    Worker,
    WorkerPlan,
)
from comanda_botpod.handlers.errors import HandlerFailed, HandlerInterrupted
from comanda_botpod.handlers.sdk.gathered import Effects

_log = structlog.get_logger()

_FIRST_PAUSE_SECONDS = 0.5
"""Before a worker that did nothing is started again; doubled each time."""


class Post:
    """A place for one worker: filled at once, and again whenever its worker has died, until it is closed."""

    def __init__(self, plan: WorkerPlan, watch: Watch) -> None:
        self._plan = plan
        self._watch = watch
        self._next: asyncio.Future[Worker] = asyncio.get_running_loop().create_future()
        self._keeping = asyncio.create_task(self._keep(), name="handler-post")
        self.problem = ""
        """Why there is no worker, as a sentence; "" when nothing is wrong."""

    async def worker(self) -> Worker:
        """Return the running worker, or the next one; waits for it. Raises `StartError` when it does not start."""
        return await asyncio.shield(self._next)

    async def close(self) -> None:
        """End the worker, or the attempt to start one."""
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        self._give_up(StartError(f"Handler {self._plan.entry_point} of tenant {self._plan.tenant} is being stopped."))

    async def _keep(self) -> None:
        vain = 0
        while True:
            if vain:
                pause = _FIRST_PAUSE_SECONDS * 2 ** min(vain - 1, 10)
                await asyncio.sleep(min(pause, self._watch.longest_pause_seconds))
            worker = await self._start(vain)
            # One that fell by a turn is replaced at once: that turn is tried apart. One that ends by itself waits.
            vain = 0 if worker is not None and worker.turns_taken else vain + 1
            metrics.RESTARTS.inc()

    async def _start(self, vain: int) -> Worker | None:
        """Start a worker and keep it until it dies; None when it did not start."""
        try:
            worker = await Worker.start(self._plan, self._watch)
        except StartError as error:
            self.problem = str(error)
            _log.error("handler_not_started", tenant=self._plan.tenant, tries=vain + 1, problem=self.problem)
            self._give_up(error)
            return None
        _log.info("handler_started", tenant=self._plan.tenant, entry_point=self._plan.entry_point)
        self.problem = ""
        self._next.set_result(worker)
        try:
            await worker.dying.wait()
        finally:
            self._next = asyncio.get_running_loop().create_future()
            if not worker.dying.is_set():
                worker.kill("is not wanted any more")
            await worker.ended.wait()
        _log.warning("handler_died", tenant=self._plan.tenant, reason=worker.reason)
        return worker

    def _give_up(self, error: StartError) -> None:
        """Tell those who wait for a worker that it does not come."""
        self._next.set_exception(error)
        self._next.exception()  # seen, also when nobody waits
        self._next = asyncio.get_running_loop().create_future()


class Crew:
    """Runs the turns of one tenant."""

    def __init__(self, plan: WorkerPlan, watch: Watch) -> None:
        self.plan = plan
        self._watch = watch
        self._main = Post(plan, watch)
        self._apart: Post | None = None
        self._suspects = 0
        self._one_at_a_time = asyncio.Lock()
        self._closed = False

    @property
    def problem(self) -> str:
        """Why turns cannot run now, as a sentence; "" when nothing is wrong."""
        return self._main.problem

    async def run(self, request: Request) -> Effects:
        """Run one turn. Raises `HandlerFailed` when it is to blame, `HandlerInterrupted` when something else is."""
        try:
            return await self._run_at(self._main, request)
        except FallenError as fallen:
            if fallen.alone:
                raise self._guilty(fallen) from None
        return await self._run_apart(request)

    async def close(self) -> None:
        """End all workers; turns under way are interrupted."""
        self._closed = True
        apart, self._apart = self._apart, None
        await self._main.close()
        if apart is not None:
            await apart.close()

    async def _run_apart(self, request: Request) -> Effects:
        """Run a suspect alone, after those that came before it."""
        self._suspects += 1
        try:
            async with self._one_at_a_time:
                if self._closed:
                    raise self._interrupted("is being stopped")
                self._apart = self._apart or Post(self.plan, self._watch)
                return await self._run_at(self._apart, request)
        except FallenError as fallen:
            raise self._guilty(fallen) from None
        finally:
            self._suspects -= 1
            if not self._suspects and self._apart is not None:
                apart, self._apart = self._apart, None
                await apart.close()

    async def _run_at(self, post: Post, request: Request) -> Effects:
        try:
            async with asyncio.timeout(self._watch.patience_seconds):
                worker = await post.worker()
        except StartError as error:
            raise HandlerInterrupted(str(error)) from None
        except TimeoutError:
            raise HandlerInterrupted(post.problem or self._interrupted("does not start").message) from None
        try:
            return await worker.turn(request)
        except RaisedError as raised:
            metrics.TURNS_FAILED.inc()
            raise self._failed(raised) from None
        except TimeIsUpError:
            metrics.TURNS_TIMED_OUT.inc()
            limit = f"{self.plan.timeout_seconds:g} s"
            raise HandlerFailed(f"The handler took longer than {limit} and was stopped.") from None

    def _failed(self, raised: RaisedError) -> HandlerFailed:
        failed = raised.failed
        _log.warning("handler_raised", tenant=self.plan.tenant, error=failed.error, frames=failed.frames)
        where = f" at {failed.at}" if failed.at else ""
        return HandlerFailed(f"The handler raised {failed.error}{where}. {failed.problem}".strip())

    def _guilty(self, fallen: FallenError) -> HandlerFailed | HandlerInterrupted:
        if self._closed:
            return self._interrupted("is being stopped")
        metrics.TURNS_KILLED.inc()
        return HandlerFailed(f"The handler's process {fallen.reason}.")

    def _interrupted(self, what: str) -> HandlerInterrupted:
        return HandlerInterrupted(f"Handler {self.plan.entry_point} of tenant {self.plan.tenant} {what}.")
