"""The obvious first version of a router: FastAPI, a request of httpx for each webhook. `python naive.py PORT PODS`.

Verifies, finds the number, hashes it over the pods, and answers when the pod has. `PODS` are `first-count` ports.
"""

from __future__ import annotations

import hmac
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response

SECRET = b"bench-secret"


def make_app(first: int, count: int) -> FastAPI:
    """Return the app."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(limits=limits) as client:
            app.state.client = client
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/readyz")
    async def ready() -> str:
        return "ok"

    @app.post("/webhook")
    async def take(request: Request) -> Response:
        body = await request.body()
        expected = "sha256=" + hmac.new(SECRET, body, sha256).hexdigest()
        if not hmac.compare_digest(expected, request.headers.get("X-Hub-Signature-256", "")):
            return Response(status_code=401)
        number = json.loads(body)["entry"][0]["changes"][0]["value"]["metadata"]["phone_number_id"]
        port = first + int.from_bytes(sha256(number.encode()).digest()[:4], "big") % count
        answer = await app.state.client.post(f"http://127.0.0.1:{port}/v1/deliveries", content=body)
        return Response(status_code=answer.status_code)

    return app


if __name__ == "__main__":
    first, count = map(int, sys.argv[2].split("-"))
    uvicorn.run(make_app(first, count), host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
