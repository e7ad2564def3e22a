"""What one writes without thinking about it: FastAPI and psycopg under uvicorn, one row and one commit per call.

It checks the same signature and is as durable; it has no caps, no deduplication key but the row's, no second platform.
"""

from __future__ import annotations

import hmac
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import uvicorn
from fastapi import FastAPI, Request, Response
from psycopg_pool import AsyncConnectionPool

from bench.common import die_with_parent

_INSERT = """
INSERT INTO webhook_delivery (dedup_key, platform, headers, query, body, next_at)
VALUES (%s, 'slack', '{}', '{}', %s, NULL) ON CONFLICT (dedup_key) DO NOTHING"""


def build(url: str, secret: str) -> FastAPI:
    pool = AsyncConnectionPool(url, min_size=20, max_size=20, open=False, kwargs={"autocommit": True})

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await pool.open(wait=True)
        yield
        await pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/webhook")
    async def take(request: Request) -> Response:
        body = await request.body()
        stamp = request.headers.get("x-slack-request-timestamp", "")
        digest = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, sha256).hexdigest()
        given = request.headers.get("x-slack-signature", "")
        if abs(time.time() - int(stamp or 0)) > 300 or not hmac.compare_digest(f"v0={digest}", given):
            return Response(status_code=401)
        async with pool.connection() as connection:
            await connection.execute(_INSERT, (sha256(body).digest(), body))
        return Response()

    return app


if __name__ == "__main__":
    die_with_parent()
    uvicorn.run(build(sys.argv[1], sys.argv[2]), host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
