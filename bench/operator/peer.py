"""The peer: an operator for tenants as kopf's own introduction would have it, with handlers that write the status.

Started by run.py as a process; says on standard output when it has handled how many tenants.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import aiohttp
import kopf

from comanda_kube.kubeconfig import load_config

EXPECTED = int(os.environ["BENCH_TENANTS"])
_handled: set[str] = set()
_begun = time.monotonic()


@kopf.on.login()
async def login(**_: Any) -> kopf.AiohttpSession:
    """Log in as ours does."""
    config = load_config()
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=config.tls or True, limit=0))
    return kopf.AiohttpSession(server=config.server, aiohttp_session=session)


@kopf.on.create("comanda.dev", "v1alpha1", "whatsapptenants")
@kopf.on.update("comanda.dev", "v1alpha1", "whatsapptenants")
@kopf.on.resume("comanda.dev", "v1alpha1", "whatsapptenants")
async def handle(uid: str, spec: kopf.Spec, patch: kopf.Patch, meta: kopf.Meta, **_: Any) -> None:
    """Say that a tenant has its place."""
    condition = {
        "type": "Ready",
        "status": "False",
        "reason": "NotLoaded",
        "message": "",
        "observedGeneration": meta["generation"],
    }
    patch.status["observedGeneration"] = meta["generation"]
    patch.status["group"] = f"comanda/pool-{spec.get('poolRef', 'default')}"
    patch.status["conditions"] = [condition]
    _handled.add(uid)
    if len(_handled) % 100 == 0 or len(_handled) == EXPECTED:
        print(len(_handled), round(time.monotonic() - _begun, 3), flush=True)


@kopf.on.delete("comanda.dev", "v1alpha1", "whatsapptenants")
async def forget(uid: str, **_: Any) -> None:
    """Let a tenant go."""
    _handled.discard(uid)


if __name__ == "__main__":
    asyncio.run(kopf.operator(standalone=True, clusterwide=True))
