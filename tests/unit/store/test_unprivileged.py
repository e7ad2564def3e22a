"""ACL arithmetic: one more account may pass, nobody loses or gains anything else."""

from __future__ import annotations

import struct

from sync.store.unprivileged import _from_mode, with_search


def entries(acl: bytes) -> list[tuple[int, int, int]]:
    assert struct.unpack_from("<I", acl) == (2,)
    return list(struct.iter_unpack("<HHI", acl[4:]))


NO_ID = 0xFFFFFFFF


def test_a_private_directory_lets_one_account_search() -> None:
    acl = with_search(_from_mode(0o700), 990)
    assert entries(acl) == [(1, 7, NO_ID), (2, 1, 990), (4, 0, NO_ID), (16, 1, NO_ID), (32, 0, NO_ID)]


def test_granting_twice_changes_nothing() -> None:
    once = with_search(_from_mode(0o750), 990)
    assert with_search(once, 990) == once


def test_rights_of_others_and_the_effective_group_stay() -> None:
    acl = with_search(with_search(_from_mode(0o750), 5), 990)
    assert entries(acl) == [(1, 7, NO_ID), (2, 1, 5), (2, 1, 990), (4, 5, NO_ID), (16, 5, NO_ID), (32, 0, NO_ID)]
