"""Edits one tenant after the other while a storm is on, from a process of its own: `hot.py KUBECONFIG`, until killed.

Prints how long each edit took from being applied to its generation in the status, one a line, in seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from time import monotonic

# A script: the repository is not on the path when it is started by its file name.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from comanda_kube.client import Client
from comanda_kube.errors import NotFoundError
from comanda_kube.kubeconfig import from_kubeconfig
from comanda_kube.resources import Selection
from comanda_operator.reconcile import TENANTS

TENANTS_IN_TURN = 50


async def edit(client: Client, name: str, count: int) -> float | None:
    """Edit a tenant that is settled, and watch it; None when it is not settled yet."""
    found = await client.get(TENANTS, "shop", name)
    if found.get("status", {}).get("observedGeneration") != found["metadata"]["generation"]:
        return None
    body = {"metadata": {"namespace": "shop", "name": name}, "spec": {**found["spec"], "displayName": f"Hot {count}"}}
    this = Selection(TENANTS, "shop", fields=f"metadata.name={name}")
    version = found["metadata"]["resourceVersion"]
    async with client.watch(this, version, seconds=120, grace_seconds=5) as lines:
        began = monotonic()
        made = await client.apply(TENANTS, body)
        async for line in lines:
            if (
                json.loads(line)["object"].get("status", {}).get("observedGeneration", 0)
                >= made["metadata"]["generation"]
            ):
                return monotonic() - began
    raise TimeoutError(name)


async def main() -> None:
    """Edit until somebody ends it."""
    async with Client(from_kubeconfig([Path(sys.argv[1])]), "hot") as client:
        count = 0
        while True:
            try:
                took = await edit(client, f"t{count % TENANTS_IN_TURN}", count)
            except NotFoundError:
                took = None
            if took is not None:
                print(round(took, 4), flush=True)
                count += 1
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(main())
