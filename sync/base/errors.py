"""The tree of errors, grouped by what happens next.

    SyncError
      Transient(retry_after_s)    try again, with backoff        time-out, 5xx, deadlock, busy lock
        RateLimited               try again when the vendor says  429, quota
      Permanent                   never again                     rejected payload, unknown recipient
        IntegrationRevoked        and expire the integration      wrong password, revoked OAuth grant
        ScopeMissing              and block this one sync type    permission not granted
        ConfigurationError        somebody must change a setting  missing key, unknown queue
      LeaseLost                   stop at once, write nothing     another holder took over
      Skippable                   drop this record, go on         one malformed item of a page
      ApiError(status)            answer the caller               403, 404, 409

Anything else is a bug: retried like `Transient`, logged with its stack and counted apart.
Phase, vendor and the like are fields, not branches of the tree.
"""

from __future__ import annotations

from typing import Any


class SyncError(Exception):
    """Something went wrong in Sync."""

    def __init__(self, message: str | None = None, **fields: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.fields = fields
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process borders by pickle; the default would lose keyword-only fields.
        return _rebuild, (type(self), self.message, self.__dict__)


def _rebuild(cls: type[SyncError], message: str, state: dict[str, Any]) -> SyncError:
    error = cls.__new__(cls)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class Transient(SyncError):
    """A temporary failure; the same thing may work later."""

    def __init__(self, message: str | None = None, *, retry_after_s: float | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.retry_after_s = retry_after_s


class RateLimited(Transient):
    """The other side asked us to slow down."""


class Permanent(SyncError):
    """A failure that no retry will mend."""


class IntegrationRevoked(Permanent):
    """The account no longer accepts our credentials; somebody has to reconnect it."""


class ScopeMissing(Permanent):
    """The account has not granted a permission that this sync type needs."""


class ConfigurationError(Permanent):
    """A setting is missing or wrong."""


class LeaseLost(SyncError):
    """Another process holds the lease now; whatever this one still does must not be written."""


class Skippable(SyncError):
    """One malformed record; the rest of the page is fine."""


class ApiError(SyncError):
    """A refusal that the caller of the HTTP API should read."""

    def __init__(self, status: int, title: str, detail: str | None = None, **fields: Any) -> None:
        super().__init__(detail or title, **fields)
        self.status = status
        self.title = title
        self.detail = detail
