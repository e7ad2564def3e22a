"""Liveness, without a token: for load balancers and probes."""

from __future__ import annotations

import asyncio
from typing import Literal

from fastapi import APIRouter, Request

from sync.api.problems import problem
from sync.api.schemas import Answer, example
from sync.api.services import Use
from sync.base.errors import SyncError

router = APIRouter(tags=["health"])

_PATIENCE_S = 2.0
"""Less than the time-outs of usual probes, so that they see our reason."""


class Health(Answer):
    model_config = example({"status": "ok", "version": "0.1.0"})

    status: Literal["ok"]
    version: str


@router.get("/healthz", summary="Whether this process can serve")
async def healthz(request: Request, services: Use) -> Health:
    """200 while PostgreSQL answers; 503 with the reason otherwise. Does not depend on actors or vendors."""
    try:
        await asyncio.wait_for(services.database.fetch_value("SELECT 1"), _PATIENCE_S)
    except (SyncError, TimeoutError) as error:
        detail = "PostgreSQL does not answer. Sync tries again by itself; look at the database."
        raise problem("unavailable", detail) from error
    return Health(status="ok", version=request.app.version)
