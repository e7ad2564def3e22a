"""Bodies of requests and answers. camelCase outside, snake_case inside; every model carries an example."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from sync.api.text import unstorable_path


class Answer(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class Body(BaseModel):
    """Unknown fields are refused: a misspelt option must not be silently ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", str_strip_whitespace=True
    )

    @model_validator(mode="before")
    @classmethod
    def _can_be_stored(cls, value: Any) -> Any:
        where = unstorable_path(value)
        if where is not None:
            raise ValueError(f"{where or 'The text'} holds a NUL character or half of a surrogate pair. Remove it.")
        return value


def example(value: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


MAX_ID = 2**63 - 1
RowId = Annotated[int, Field(ge=1, le=MAX_ID)]
Key = Annotated[str, Field(min_length=1, max_length=200)]


class EnqueueJob(Body):
    model_config = example(
        {
            "kind": "http.call",
            "args": {"url": "https://example.com/hook", "json": {"order": 17}},
            "runAt": "2027-05-01T09:00",
            "timeZone": "Europe/Berlin",
            "uniqueKey": "order-17",
        }
    )

    kind: str = Field(max_length=100, description="A registered job kind, such as `http.call`.")
    args: dict[str, Any] = Field(default_factory=dict, description="Arguments of the kind.")
    queue: str | None = Field(
        default=None,
        max_length=100,
        description="The consumer, as a check: `one-off`, `schedule` (with `runAt`) or `datatype`. The kind decides.",
    )
    run_at: str | None = Field(
        default=None,
        max_length=40,
        description="ISO 8601. With an offset, that instant; without, the wall clock in `timeZone`. Absent: now.",
    )
    time_zone: str | None = Field(default=None, max_length=64, description="IANA name, for a `runAt` without offset.")
    priority: int | None = Field(default=None, ge=0, le=3, description="0 urgent, 1 high, 2 normal, 3 low.")
    unique_key: Key | None = Field(
        default=None, description="At most one such job of your org waits or runs; a second request returns the first."
    )
    idempotency_key: Key | None = Field(
        default=None, description="The same request again within 24 hours returns the first job, whatever became of it."
    )
    max_attempts: int | None = Field(default=None, ge=1, le=1000, description="Absent: what the kind says.")


class EnqueueJobs(Body):
    model_config = example({"jobs": [{"kind": "http.call", "args": {"url": "https://a.test"}}]})

    jobs: list[EnqueueJob] = Field(min_length=1, max_length=1000, description="All or none are enqueued.")


class EnqueuedJob(Answer):
    model_config = example({"jobId": 4711, "created": True, "kind": "http.call", "queue": "one-off", "runAt": None})

    job_id: int
    created: bool = Field(description="False: a key was taken already, and `jobId` is the earlier job.")
    kind: str
    queue: str
    run_at: datetime | None = Field(description="The instant that `runAt` and `timeZone` mean.")


class EnqueuedJobs(Answer):
    model_config = example({"jobIds": [4711, 4712]})

    job_ids: list[int] = Field(description="In the order of the request; an earlier job's id where a key was taken.")
