"""Inbound webhooks: taken fast and safely, applied later, exactly once.

    vendor ──► door (sync.api.hooks) ──► Intake ──► GroupWriter ──► webhook_delivery + a job, one transaction per group
                caps, size, no detail     signature    one for all who wait         │ 200 once durable
                                                                                    ▼
                  webhook_event ◄── Applier: whose account? same upsert as a poll, expiry, dirty sync types
                                                                                    │
                                               Pulls: a run once none is under way, never a storm

- Nothing is stored of a call that is not proved; nothing is acknowledged that is not durable.
- A call that is cut off (the client hung up, Serve cancelled) leaves its row in the group: the vendor repeats, the
  dedup key makes the repetition nothing.
- The writer repeats a group whose commit has an unknown fate: inserts are idempotent by that key. What is not durable
  in time is answered 503.
- A delivery is applied in the transaction that says so, so a crash means again from the start, not half.
- A delivery that cannot be read or applied ends as `failed` and waits for a person; it never holds up its neighbours.
"""
