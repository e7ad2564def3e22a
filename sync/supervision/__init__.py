"""What should be running, decided without Ray: the supervisor, its plans and its judgement of the living.

A pass of any part is: look (names that exist, rows that wait), decide (a pure function in `plan`, `sizing` or
`health`), act (through `Fleet`, filled by `actors/fleet.py`). Nothing is remembered that cannot be looked up again, so
a restarted supervisor, a second one beside it, or one that finds an empty cluster goes on from the database alone.

    part         every         looks at                          does
    members      2 s           names, depth of the queues        starts and retires pool members
    schedulers   5 s           names, number of nodes            keeps one scheduler, two from two nodes on
    syncs        2 s, signal   runs that may start, free slots   starts sync actors, asks idle ones for their place
    health       10 s          answers to pings, database proof  kills what holds a name and does not answer
    rescue       2 s           workers' heartbeats               returns the jobs of dead workers
    recover      5 s           leases of running syncs           returns the runs of dead sync actors

Each part is a task of its own with its own time-outs: one that fails or hangs is logged and tried again, its siblings
go on. While PostgreSQL is away the actors that live stay alive; while Ray's head is away the database parts go on.
"""
