"""How many files and sockets this process may have open."""

from __future__ import annotations

import resource

_BESIDE = 512
"""For everything but the connections that are asked for: the database, Ray, logs, libraries."""


def make_room(connections: int) -> int:
    """Raise the soft limit for so many connections, as far as the hard one lets us; the limit that holds now.

    Many systems start processes with 1,024, which a server of thousands of connections runs into.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _BESIDE
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return limit
