"""The obvious inbox: FastAPI, one SQLModel insert and one commit a request. `python peer.py PORT DATABASE_URL`."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from sqlalchemy import BigInteger, event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlmodel import Field, Session, SQLModel, create_engine


class Message(SQLModel, table=True):
    """A stored message."""

    id: int | None = Field(default=None, primary_key=True)
    phone_number_id: str
    wamid: str = Field(unique=True)
    payload: str
    sent_at: int = Field(sa_type=BigInteger)


def sqlite_app(url: str) -> FastAPI:
    """Return the app on SQLite, as durable as ours; a plain route, which FastAPI runs in a thread."""
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": 30})

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    SQLModel.metadata.create_all(engine)
    app = FastAPI()

    @app.post("/messages")
    def store(message: dict[str, Any]) -> dict[str, str]:
        try:
            with Session(engine) as session:
                session.add(Message(**message))
                session.commit()
        except IntegrityError:
            return {"outcome": "duplicate"}
        return {"outcome": "stored"}

    return app


def postgres_app(url: str) -> FastAPI:
    """Return the app on PostgreSQL, asyncpg with a pool of 20."""
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=20)
    app = FastAPI()

    @app.on_event("startup")
    async def make() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(SQLModel.metadata.create_all)

    @app.post("/messages")
    async def store(request: Request) -> dict[str, str]:
        try:
            async with AsyncSession(engine) as session:
                session.add(Message(**await request.json()))
                await session.commit()
        except IntegrityError:
            return {"outcome": "duplicate"}
        return {"outcome": "stored"}

    return app


if __name__ == "__main__":
    port, database = int(sys.argv[1]), sys.argv[2]
    made = sqlite_app(database) if database.startswith("sqlite") else postgres_app(database)
    uvicorn.run(made, port=port, log_level="warning", access_log=False)
