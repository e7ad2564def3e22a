"""Asynchronous reports: made once, asked about until ready, across stops and parkings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from connectors.http.api import Api
from connectors.http.request import Context, Request
from sync.base.errors import Permanent, RateLimited, Transient

if TYPE_CHECKING:
    from connectors.http.cursors import Walk
    from connectors.http.streams import Report

LONGEST_S = 300.0
ATTEMPTS = 3


class NotReadyError(RateLimited):
    """A report is not ready yet; other partitions go on meanwhile, then the run parks."""


class ReportJob:
    """The report of one span. Its state travels in the walk: {id, at, polls, tries}."""

    def __init__(self, api: Api, report: Report, walk: Walk, ctx: Context) -> None:
        self._api, self._report, self._walk, self._ctx = api, report, walk, ctx
        self.request: Request | None = None
        """Where its rows begin, once it is ready."""

    async def advance(self) -> AsyncIterator[None]:
        """Get the report ready. Yields when its state has to be stored. Errors: NotReadyError with the time to wait."""
        job = self._walk.job()
        if job is None or job.get("id") is None:
            job = await self._create(job or {})
            yield
        reply = await self._api.call(self._report.poll(self._ctx, job["id"]), self._ctx)
        ready = self._report.ready(reply)
        if ready:
            self.request = self._report.download(self._ctx, job["id"], reply)
            return
        age = self._ctx.now.timestamp() - job["at"]
        if ready is None and age < self._report.give_up.total_seconds():
            pause = min(self._report.poll_s * 2 ** job["polls"], LONGEST_S)
            self._walk.set_job({**job, "polls": job["polls"] + 1})
            yield
            raise NotReadyError("The report is not ready yet.", retry_after_s=pause, code="report", part=True)
        self._again(job)
        yield
        text = "The report failed and is made again."
        raise NotReadyError(text, retry_after_s=self._report.poll_s, code="report_failed", part=True)

    async def _create(self, job: dict[str, Any]) -> dict[str, Any]:
        reply = await self._api.call(self._report.create(self._ctx), self._ctx)
        read = self._report.job_id
        found = read(reply) if callable(read) else str(reply.at(read, ""))
        if not found:
            raise Transient("A report was asked for, and the answer names none.")
        made = {"id": found, "at": self._ctx.now.timestamp(), "polls": 0, "tries": job.get("tries", 0) + 1}
        self._walk.set_job(made)
        return made

    def _again(self, job: dict[str, Any]) -> None:
        if job["tries"] >= ATTEMPTS:
            self._walk.set_job(None)
            if self._walk.shrink():
                return
            raise Permanent("The report failed again and again.", code="report_failed")
        self._walk.set_job({"tries": job["tries"]})
