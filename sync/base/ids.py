"""Checks on the names that end up in actor names, keys and file names."""

from __future__ import annotations

import re

from sync.base.errors import Permanent

_ORG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_PLATFORM = re.compile(r"[a-z][a-z0-9_]{0,31}")

SYSTEM_ORG = "_system"
"""Owner of work that belongs to no tenant: purge, roll-ups, maintenance."""


def check_org_id(org_id: str) -> str:
    """Return `org_id` unchanged, or raise Permanent. Colons never pass: they separate the parts of actor names."""
    if org_id != SYSTEM_ORG and not _ORG.fullmatch(org_id):
        raise Permanent(
            f"{org_id!r} is not an org id: use 1 to 64 letters, digits, '_', '.' or '-', the first a letter or digit."
        )
    return org_id


def check_platform(platform: str) -> str:
    """Return `platform` unchanged, or raise Permanent."""
    if not _PLATFORM.fullmatch(platform):
        raise Permanent(f"{platform!r} is not a platform name: use lower-case letters, digits and '_'.")
    return platform
