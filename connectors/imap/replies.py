"""What an IMAP server's refusals mean: (command, result, text) -> the error that says what to do. Pure.

The response code in brackets (RFC 5530) decides, the text only where servers send none. The texts are those that
Gmail, Microsoft, Yahoo, Dovecot and others were seen to send.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sync.base.errors import (
    ConfigurationError,
    IntegrationRevoked,
    Permanent,
    RateLimited,
    ScopeMissing,
    SyncError,
    Transient,
)

_CODE = re.compile(r"\[([A-Za-z0-9-]+)(?:\s+([^\]]*))?\]\s*")
_BACKOFF_MS = re.compile(r"Backoff Time:\s*(\d+)\s*millisecond", re.IGNORECASE)

_AUTH = {"AUTHENTICATIONFAILED", "EXPIRED", "WEBALERT"}
_PERMISSION = {"AUTHORIZATIONFAILED", "NOPERM", "CONTACTADMIN", "PRIVACYREQUIRED"}
_BUSY = {"UNAVAILABLE", "INUSE", "SERVERBUG"}
_LIMIT = {"LIMIT", "OVERQUOTA", "THROTTLED"}
_LIMIT_TEXT = ("too many simultaneous connections", "throttled", "rate limit", "exceeded command or bandwidth")
_DISABLED_TEXT = ("imap access is disabled", "not enabled for imap")

CONFIRM_AFTER_S = 300.0
"""Gmail and Yahoo answer AUTHENTICATIONFAILED to temporary blocks as well: there one refusal is asked again."""
_CRIES_WOLF = ("imap.gmail.com", "imap.googlemail.com", "imap.mail.yahoo.com", "imap.aol.com")
_MAILBOX_BLOCK_S = 3600.0
_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """The end of a command that did not succeed. `command` never holds a secret: its first word only."""

    command: str
    result: str
    text: str
    host: str = ""

    @property
    def code(self) -> str | None:
        match = _CODE.search(self.text)
        return match.group(1).upper() if match else None

    @property
    def words(self) -> str:
        return _CODE.sub("", self.text).strip() or self.result


def to_error(refusal: Refusal) -> SyncError:
    """The error to raise for a refused command."""
    code, text = refusal.code, refusal.text.casefold()
    said = f"{refusal.host or 'The mail server'} said: {refusal.words}"
    if match := _BACKOFF_MS.search(refusal.text):
        return RateLimited(said, retry_after_s=int(match.group(1)) / 1000)
    if code in _LIMIT or any(words in text for words in _LIMIT_TEXT):
        return RateLimited(said, retry_after_s=_LIMIT_S)
    if code in _BUSY:
        return Transient(said)
    if "authenticated but not connected" in text:
        return Transient(said, retry_after_s=_MAILBOX_BLOCK_S)
    if refusal.command in {"LOGIN", "AUTHENTICATE"}:
        return _login_refused(refusal, said)
    if code in _PERMISSION:
        return ScopeMissing(said)
    if code in {"NONEXISTENT", "TRYCREATE"} or "doesn't exist" in text:
        return ConfigurationError(said)
    if refusal.result == "BAD":
        return Permanent(f"The mail server did not understand {refusal.command}. {said}")
    return Transient(said)


def _login_refused(refusal: Refusal, said: str) -> SyncError:
    text = refusal.text.casefold()
    if refusal.code in _PERMISSION or any(words in text for words in _DISABLED_TEXT):
        return IntegrationRevoked(
            f"The mail server does not let this account in over IMAP. {said}", code="imap_not_permitted"
        )
    if refusal.code == "EXPIRED":
        return IntegrationRevoked(f"The password of this mailbox has expired. {said}", code="password_expired")
    if "application-specific password" in text:
        return IntegrationRevoked(f"This account needs an app password. {said}", code="app_password_needed")
    if refusal.code in {"ALERT", "WEBALERT"}:
        return IntegrationRevoked(f"The mail provider wants its user to log in first. {said}", code="user_action")
    if refusal.result == "BAD" and refusal.code not in _AUTH:
        return Permanent(f"The mail server did not understand the login. {said}")
    return IntegrationRevoked(
        f"The mail server refused the user name or password. {said}",
        code="credentials_refused",
        confirm_after_s=CONFIRM_AFTER_S if refusal.host.casefold() in _CRIES_WOLF else None,
    )
