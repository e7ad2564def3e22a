"""Run a program as an ordinary user although we are root, without opening our directories to everybody.

PostgreSQL refuses to run as root. The account it gets must be able to reach files that often lie under a private
home directory (a clone in `/root`), so the right to *pass through* those directories, and nothing else, is granted
to that one account by a POSIX ACL; where the file system has no ACLs, everybody may pass through but not list.
"""

from __future__ import annotations

import os
import pwd
import stat
import struct
import subprocess
from pathlib import Path

from sync.base.errors import ConfigurationError

_ACL = "system.posix_acl_access"
_ACL_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")  # tag, permissions, id
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_SEARCH = 1


def account(name: str) -> pwd.struct_passwd:
    """The system account `name`, created (no login, no home) when it does not exist. Needs root."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    try:
        subprocess.run(command, check=True, capture_output=True)
        return pwd.getpwnam(name)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise ConfigurationError(
            f"PostgreSQL cannot run as root and the account {name!r} could not be made ({error}). "
            f"Create it ({' '.join(command)}), start Sync as an ordinary user, or set SYNC_STORE__URL."
        ) from error


def let_pass(path: Path, uid: int) -> None:
    """Let the account reach `path`: search permission on every directory above it that refuses."""
    for directory in path.resolve().parents:
        status = directory.stat()
        if status.st_mode & stat.S_IXOTH or status.st_uid == uid:
            continue
        try:
            acl = os.getxattr(directory, _ACL) if _has_acl(directory) else _from_mode(status.st_mode)
            os.setxattr(directory, _ACL, with_search(acl, uid))
        except OSError:
            directory.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)


def let_read(tree: Path) -> None:
    """Make a tree of published files (programs, libraries) readable; an install under a strict umask hides them."""
    for path in [tree, *tree.rglob("*")]:
        if path.is_symlink():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)


def _has_acl(path: Path) -> bool:
    return _ACL in os.listxattr(path)


def _from_mode(mode: int) -> bytes:
    entries = [(_USER_OBJ, mode >> 6 & 7, _NO_ID), (_GROUP_OBJ, mode >> 3 & 7, _NO_ID), (_OTHER, mode & 7, _NO_ID)]
    return _pack(entries)


def with_search(acl: bytes, uid: int) -> bytes:
    """The same ACL with search permission for one more account."""
    entries = list(_ENTRY.iter_unpack(acl[len(_ACL_VERSION) :]))
    mine = next((entry for entry in entries if entry[0] == _USER and entry[2] == uid), (_USER, 0, uid))
    others = [entry for entry in entries if entry is not mine and entry[0] != _MASK]
    mine = (_USER, mine[1] | _SEARCH, uid)
    # The mask caps named entries and the owning group; without one it is their union.
    old_mask = next((entry[1] for entry in entries if entry[0] == _MASK), None)
    group = next(entry[1] for entry in entries if entry[0] == _GROUP_OBJ)
    mask = (group if old_mask is None else old_mask) | mine[1]
    return _pack([*others, mine, (_MASK, mask, _NO_ID)])


def _pack(entries: list[tuple[int, int, int]]) -> bytes:
    return _ACL_VERSION + b"".join(_ENTRY.pack(*entry) for entry in sorted(entries, key=lambda e: (e[0], e[2])))
