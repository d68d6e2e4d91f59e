"""A recording pod as a process of its own, to be stopped and killed: `python -m tests.test_router.pod_process PORT`.

With `hold` as second argument it takes a batch and never answers.
"""

from __future__ import annotations

import asyncio
import sys

import uvicorn

from comanda_contract.names import group_key
from tests.test_router.conftest import MASTER_KEY, RecordingPod


def main() -> None:
    pod = RecordingPod("process")
    if sys.argv[2:] == ["hold"]:
        pod.thawed = asyncio.Event()
    app = pod.app(group_key(bytes.fromhex(MASTER_KEY), "default/pool", "uid-default/pool"))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")


if __name__ == "__main__":
    main()
