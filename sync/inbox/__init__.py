"""The CRM inbox: conversations out of comments and direct messages, contacts, and replies that go out.

A conversation is a function of the stored activities and of what people decided about it, never of the order in which
activities came. The event log only says where to look again:

    activity.* ──► projector ──► inbox_message (one per comment or message, with its thread key)
                                 conversation  (summed up anew from its messages, in the same transaction)
                                 contact       (who wrote, matched by vendor id and address)

- A thread is named by `rules.thread_key`. A reply whose parent is not known yet waits under the parent's id; when the
  parent comes, both move to where it belongs, and a conversation that loses all its messages points to the one that has
  them now.
- Only incoming messages open a conversation. Our own, and echoes of what was written elsewhere as us, join one.
- People decide a status *up to the message they saw*. A later incoming message opens the conversation again; one that
  is older, and only arrives later, does not.
- Unread is what came in after the last look, is not deleted, and was not answered since.
- What was written more than `rules.HISTORY` before the account was connected waits for nobody: read and closed.
"""
