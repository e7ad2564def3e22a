"""Events of the log, live, to people and programs that hold a connection open.

    event log ──read──► Tail (one per process) ──► Hub ──► Listener (one per connection) ──► WebSocket or SSE
                          ▲ signal `events`, poll              ▲ bounded: what does not keep up is dropped

The cursor of a client is its position in the log, so any process can continue what another began:

1. The listener joins the fan-out at once, at the tail's position T; what comes live is held back.
2. What lies between the client's cursor and T is read for its org and sent at the client's pace.
3. What was held follows. If that was too much to hold, the client goes back to 1 from where it stands now.

Ids are the order of the log and nothing is read above its horizon, so the steps leave no gap, and a live event at or
below the client's cursor (another process may have been ahead of ours) is skipped, so nothing comes twice.

A cursor that lies before the oldest event still kept, that is too far behind, or that this log never gave out is
answered by `reset`: the client reads what it shows anew and continues from the cursor in that message.

| what fails | what follows |
|---|---|
| a signal is lost | the poll delivers, `poll_s` later |
| PostgreSQL restarts | the tail and catching-up listeners go on where they were |
| events come in a burst | who does not take them fast enough reads on from the log, at its own pace |
| a client is slow | taking nothing for `send_timeout_s`, or too far behind, it is dropped with 4420 |
| the process ends | clients are told 1012 and resume elsewhere |

Without a connection nothing runs here: no task, no query.
"""

from sync.realtime.hub import Hub, Refused
from sync.realtime.listener import Listener
from sync.realtime.protocol import Close

__all__ = ["Close", "Hub", "Listener", "Refused"]
