"""`python -m comanda_operator.startup POOL`: wait until a pool serves, as the last step of an installation.

Helm does not know when pods are ready that the operator makes. This runs as a hook after everything else, so that the
first restaurant is served as soon as it is applied, and an installation that cannot serve says so, and why.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

import structlog

from comanda_contract.errors import ComandaError
from comanda_contract.logs import configure
from comanda_contract.resources import BotPool
from comanda_contract.resources.status import Condition
from comanda_kube.client import Client
from comanda_kube.errors import ApiUnavailableError, NotFoundError, ThrottledError
from comanda_kube.kubeconfig import load_config
from comanda_operator.reconcile import POOLS
from comanda_operator.status import READY

_log = structlog.get_logger()

ASK_SECONDS = 0.5


class NotServingError(Exception):
    """The pool did not come to serve in time; the message says what was the matter with it last."""


async def serving(client: Client, namespace: str, name: str, seconds: float) -> Condition:
    """Wait until a pool is ready, for so many seconds at most; return its condition Ready.

    An API that is away, or busy, is asked again. Raises `NotServingError`, and `ApiError` where the API refuses.
    """
    said = ""
    try:
        async with asyncio.timeout(seconds):
            while True:
                found, now = await _look(client, namespace, name)
                if found is not None:
                    return found
                if now != said:
                    said = now
                    _log.info("pool_not_ready", pool=name, message=said)
                await asyncio.sleep(ASK_SECONDS)
    except TimeoutError:
        raise NotServingError(said or "The Kubernetes API did not answer.") from None


async def _look(client: Client, namespace: str, name: str) -> tuple[Condition | None, str]:
    """Return the condition Ready when it holds; else None, and why it does not."""
    try:
        pool = BotPool.model_validate(await client.get(POOLS, namespace, name))
    except NotFoundError:
        return None, "There is no such BotPool."
    except (ApiUnavailableError, ThrottledError) as error:
        return None, str(error)
    conditions = pool.status.conditions if pool.status is not None else ()
    ready = next((each for each in conditions if each.type == READY), None)
    if ready is None or ready.observed_generation != pool.metadata.generation:
        return None, "The operator has not come to it yet."
    return (ready, "") if ready.status == "True" else (None, ready.message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait as the command line says. Returns the exit code: 0 when the pool serves."""
    parser = argparse.ArgumentParser(prog="comanda_operator.startup", description="Wait until a pool serves.")
    parser.add_argument("pool", help="name of the BotPool")
    parser.add_argument("--namespace", required=True, help="its namespace")
    parser.add_argument("--seconds", type=float, default=240.0, help="how long to wait at most (%(default)s)")
    given = parser.parse_args(arguments)
    configure("startup")

    async def run() -> Condition:
        async with Client(load_config(), "comanda-startup") as client:
            return await serving(client, given.namespace, given.pool, given.seconds)

    try:
        ready = asyncio.run(run())
    except NotServingError as error:
        _log.error("pool_does_not_serve", pool=given.pool, seconds=given.seconds, message=str(error))
        return 1
    except ComandaError as error:
        _log.error("pool_not_asked", pool=given.pool, **error.to_dict())
        return 2
    _log.info("pool_serves", pool=given.pool, message=ready.message)
    return 0


if __name__ == "__main__":
    sys.exit(main())
