"""Asynchronous report jobs: created, asked about, then ready, failed, or never."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.http import Request
    from simulator.vendor import Account, Vendor


class JobState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Job:
    id: str
    account: Account
    created: float
    params: dict[str, Any]
    rows: Callable[[], Any]
    """Computed once, when the job is done; then `result` has it."""
    polls: int = 0
    state: JobState = JobState.PENDING
    percent: int = 0
    result: Any = None
    fate: str = ""
    """fail or stuck, when a fault decided so."""
    extra: dict[str, Any] = field(default_factory=dict)


class Reports:
    """A vendor's report jobs. Each needs at least `polls` looks and `seconds` of the vendor's time."""

    def __init__(self, vendor: Vendor[Any], *, polls: int = 2, seconds: float = 0.0) -> None:
        self._vendor = vendor
        self.polls, self.seconds = polls, seconds
        self.jobs: dict[str, Job] = {}

    def create(
        self, request: Request, job_id: str, account: Account, params: dict[str, Any], rows: Callable[[], Any]
    ) -> Job:
        job = Job(job_id, account, request.now, params, rows)
        if self._vendor.strike("report_fail", request):
            job.fate = "fail"
        elif self._vendor.strike("report_stuck", request):
            job.fate = "stuck"
        self.jobs[job_id] = job
        return job

    def poll(self, job_id: str, now: float) -> Job | None:
        job = self.jobs.get(job_id)
        if job is None or job.state in (JobState.DONE, JobState.FAILED):
            return job
        job.polls += 1
        by_time = min((now - job.created) / self.seconds, 1.0) if self.seconds else 1.0
        share = min(job.polls / max(self.polls, 1), by_time)
        if share < 1.0 or job.fate == "stuck":
            job.state, job.percent = JobState.RUNNING, min(int(share * 100), 90)
        elif job.fate == "fail":
            job.state = JobState.FAILED
        else:
            job.result, job.state, job.percent = job.rows(), JobState.DONE, 100
        return job

    def running(self, account: Account) -> int:
        """Unfinished jobs of an account, for vendors that limit them."""
        return sum(
            job.account is account and job.state in (JobState.PENDING, JobState.RUNNING) for job in self.jobs.values()
        )
