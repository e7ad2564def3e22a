"""Builds the FastAPI application. What it works with is opened in the lifespan, in the process that serves."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

from sync.api import openapi, problems
from sync.api.auth import TokenVerifier
from sync.api.control import Control
from sync.api.hooks import HookDoor
from sync.api.middleware import BodyLimit, RequestScope
from sync.api.opening import Opening, RuntimeFactory
from sync.api.routes import ROUTERS
from sync.base.settings import Settings

_ABOUT = (
    "Background processing of AppEngine: queue jobs, trigger vendor syncs, watch and steer both. "
    "Every request carries a JWT; its org is the tenant. Errors are RFC 9457 problem documents that say what to do. "
    "Lists page by an opaque cursor. Nothing here waits for work to be done: 202 means it stands in the database."
)
_TAGS = [
    {"name": "sync", "description": "What this install does now."},
    {"name": "queue", "description": "Enqueue jobs; pause, resume and purge queues."},
    {"name": "trigger", "description": "Start syncs and backfills."},
    {"name": "runs", "description": "Sync runs: one row per attempt to pull one sync type of one account."},
    {"name": "jobs", "description": "Queued, running, finished and dead jobs."},
    {"name": "schedules", "description": "What is enqueued when."},
    {"name": "subscriptions", "description": "What your org's events lead to."},
    {"name": "integrations", "description": "Connected accounts."},
    {"name": "webhooks", "description": "What vendors tell us by themselves: their door, and what came through it."},
    {"name": "data", "description": "What syncs brought: activities, metrics, mail."},
    {"name": "inbox", "description": "Conversations out of comments and direct messages; replies."},
    {"name": "analytics", "description": "Marketing figures per post and per account."},
    {"name": "alerts", "description": "What a person has to look at."},
    {"name": "audit", "description": "Who did what."},
    {"name": "realtime", "description": "Events as they happen: `/ws` and `/sse` (docs/realtime.md)."},
    {"name": "health", "description": "For load balancers and probes."},
]


def create_app(settings: Settings, runtime_factory: RuntimeFactory, control: Control) -> FastAPI:
    """The application; `runtime_factory` is entered when it starts serving.

    Errors: ConfigurationError when no token could ever be checked.
    """
    verifier = TokenVerifier(settings.auth)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opening = Opening(app, runtime_factory, control)
        await opening.start()
        try:
            yield
        finally:
            await opening.close()

    app = FastAPI(
        title="Sync",
        version=app_version(),
        description=_ABOUT,
        openapi_tags=_TAGS,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.verifier = verifier
    problems.install(app)
    openapi.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(_pages())
    app.add_middleware(BodyLimit, max_bytes=settings.http.max_body_bytes)
    app.add_middleware(RequestScope)
    app.add_middleware(HookDoor, api=app, settings=settings.webhooks)  # the outermost: nothing else sees its calls
    return app


def app_version() -> str:
    try:
        return version("appengine-sync")
    except PackageNotFoundError:
        return "0.0.0+source"


def _pages() -> APIRouter:
    """Pages for people. Self-contained: an install without internet shows them all the same."""
    router = APIRouter(include_in_schema=False)
    docs = files("sync.api.pages").joinpath("docs.html").read_text(encoding="utf-8")
    policy = _content_policy(docs)

    @router.get("/docs")
    async def docs_page() -> HTMLResponse:
        return HTMLResponse(docs, headers={"Content-Security-Policy": policy})

    @router.get("/problems/{code}")
    async def explain_problem(code: str, request: Request) -> dict[str, object]:
        kind = problems.KINDS.get(code)
        if kind is None:
            raise problems.problem("not-found", f"There is no problem {code!r}. Known: {', '.join(problems.KINDS)}.")
        return {"type": request.url.path, "status": kind.status, "title": kind.title, "help": kind.help}

    return router


def _content_policy(page: str) -> str:
    """Lets exactly the page's own script and style run."""

    def source(tag: str) -> str:
        match = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert match is not None
        digest = base64.b64encode(hashlib.sha256(match[1].encode()).digest()).decode()
        return f"'sha256-{digest}'"

    return (
        f"default-src 'none'; connect-src 'self'; script-src {source('script')}; style-src {source('style')}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
