"""What a call can come to besides the errors that everybody knows. The session deals with them; none gets out."""

from __future__ import annotations

from sync.base.errors import Skippable, SyncError


class ShrinkError(SyncError):
    """The vendor wants to be asked for less at a time."""


class ResetError(SyncError):
    """The vendor does not know the page token any more."""


class GoneError(Skippable):
    """What was asked for is not there, or not for us."""


class UnreadableError(Skippable):
    """An answer that has to be kept aside."""
