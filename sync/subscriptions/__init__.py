"""Subscribers of the event log: who gets which events, exactly once and in order per subject.

Who subscribes. Code of this install (`model.Subscriber`: its name, its patterns, all orgs) and rows of the table
`subscription` (one org; target is a job, a webhook, a broadcast, a sync or a notification). Each has one row in
`event_reader`, which holds its position: everything up to that event id is delivered or lies in its backlog.

A batch is one transaction:

    lock the reader's row (SKIP LOCKED); read events after its position, up to the log's horizon; keep those that fit;
    let the subscriber write their effects; move the position; commit

Members of the pool `consumer.datatype` share the readers by these locks alone. Why not a lease with an epoch: the lock,
the effects and the position live in one transaction, so there is nothing that a late writer could still write, no clock
and no renewal. A member that is killed loses its connection, the server rolls back and frees the lock at once; one that
is frozen is cut off by `idle_in_transaction_session_timeout` after twice the handler's time-out. The price is a
transaction held open while a subscriber works, which is bounded by that time-out and, since only transactions that
have written events hold the horizon back, costs other subscribers nothing.

Trouble:

    the database is away, a deadlock    the batch is rolled back and tried again after a pause
    a subscriber raises or hangs        rolled back; tried in halves, down to the one event it cannot take
    that event                          goes to the backlog, in a lane of its (org, subject); the position moves on
    later events of that subject        join the lane: order holds; other subjects go on
    the lane                            is tried again with growing pauses; after `attempts` it is parked with an alert,
                                        until somebody retries or discards (syncctl events, /sync/subscriptions)

Webhooks leave by network, and no transaction waits for a network: their batch only puts events into lanes. A sender
leases a lane by moving its `next_at` ahead and its epoch up, sends its events one after the other, and removes each
when it was answered, if the epoch is still its own. So a webhook is sent at least once, and its `webhook-id` tells
repeats. Lanes are independent of each other, and so are subscriptions (each has a few places in flight).

Nothing here is remembered by a process: kill -9 at any point costs at most the repetition of what was rolled back.
"""

from sync.subscriptions.model import Subscriber

__all__ = ["Subscriber"]
