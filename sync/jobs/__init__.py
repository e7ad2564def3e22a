"""The durable queue: at least once, effects exactly once where the effect is a row.

States of a job, and the table that holds it in each::

                 run_at in the future
      enqueue ───────────────────────► SCHEDULED (job_scheduled) ◄──────────────┐
         │                                   │ due: any member of the pool      │ retry, snooze
         │                                   ▼ moves it                         │
         └──────────────────────────────► WAITING (job) ◄───── given back ──┐   │
                                             │ claim: a batch of rows       │   │
                                             ▼ becomes one lease            │   │
                                          RUNNING (inside job_lease.jobs) ──┴───┤
                                             │                                  │
                      ┌──────────────────────┼──────────────────┐               │
                      ▼                      ▼                  ▼               │
                    DONE                CANCELLED             DEAD (job_dead) ──┘ operator: retry
                  (job_run)             (job_run)               └─► DISCARDED (job_run)

Who may change what
    A *claim* deletes up to `max_claim` waiting rows and inserts one `job_lease` row that carries them packed. From then
    on the lease's worker alone decides about these jobs, and only while its lease row exists: every statement that
    finishes something begins by locking the lease row *of this worker*, acts only on jobs of it that nothing has ended
    before, and deletes the row when none is left. No row: somebody rescued the lease, the results are thrown away.
    The same results may therefore be sent any number of times. A lease id is never used twice, whatever the server
    forgets in a crash: it is made of the worker's id (committed in full) and a counter.
    A handler that writes rows uses `ctx.transaction()`: its effects and the mark "this job ended" commit together,
    behind the same check, so a job that runs twice has its effects once.

Times (settings: QueueSettings)
    A worker process beats every 2 s from a thread of its own. A worker silent for 10 s is dead; the rescuer looks every
    2 s, so a killed worker's jobs are waiting again within about 12 s; a restarted actor rescues its own predecessor
    at once.
    For `worker_timeout_s` after PostgreSQL itself started, nobody is declared dead: everybody missed those beats.

What happens on each failure
    handler raises          row in job_run with the error; retry after backoff (full jitter, or the server-given delay),
                            dead when attempts are used up or the error is Permanent
    handler hangs           cancelled at the kind's time-out, then as above
    worker killed           rescue: unfinished jobs return in lanes 4-7 ("run alone") with crashes + 1, attempts
                            untouched; a member runs such a job with nothing else in flight, so a job that kills its
                            worker is the only one blamed; at three crashes it is dead, its neighbours long since done.
                            An attempt that its worker survives clears the count
    worker frozen, wakes    its lease rows are gone: its finishes change nothing. So is its own row: its next beat tells
                            it to drop what it holds and to start afresh under a new id
    worker shut down        unstarted jobs go back at once; running ones may finish within the drain time, then go back
                            with their attempt not counted
    PostgreSQL restarts     claims and finishes commit with synchronous_commit=off: the last ones may be lost, which
                            makes a job run again, never disappear (enqueue commits in full). Members reconnect, send
                            the same finish again, and look for leases of theirs that they do not know: from a claim
                            whose answer was lost, or a finish that was forgotten. They run what is left of those.
                            An enqueue whose answer is lost is an error to its caller, never repeated by us.
    Redis or NOTIFY gone    wake-ups are hints; every member looks by itself each second

Fairness
    Each member keeps a ring of orgs that have work and shares out every claim by weighted fair queueing, by the weights
    of `org_share`. Inside an org the lanes go in order: priority 0 first. A lone org gets everything. Priorities never
    cross org borders: an urgent job of a flooding org does not overtake another org's share.

Why it is fast
    One statement claims up to 1,000 jobs, one finishes them; rows are never updated; the claimable table holds nothing
    that is not claimable; marks (the last seq seen per lane) keep a claim off index entries of rows deleted before it,
    which matters when a long snapshot keeps vacuum away.
"""
