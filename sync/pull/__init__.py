"""Pulling: connected accounts, their sync runs, and the life of one run.

    trigger / enqueue_due ──► queued ──claim──► running ──► succeeded
                                ▲  │               │  │
        transient, rate limited,│  └─ cancel ─► cancelled
        lost worker, stop       └──────────────────┘  └──► failed

A run is a row; an actor is only its legs. Who may change what:
- queued -> running: the holder of the lease on (org, platform), under its epoch. `attempt` grows by one.
- everything from running on: only under that epoch (`page.py`, `ending.py`), checked in the same transaction.
- running -> queued by anybody (`recover_lost`): only when the lease it runs under is gone.
- at most one open run per (account, sync type), live and backfill apart: a partial unique index.

One page is one transaction: fence, records, events, cursor (by its version), counters. So a kill at any point leaves
either all of a page or nothing of it, and the next attempt continues after the last page that is there.

What a failure means is decided in `decide.py`, purely, and carried out in `ending.py`.
"""
