"""What syncs of social platforms bring: activities and metrics, stored once and updated in place.

- A record is new, changed, or unchanged: decided by its vendor id, version and content; unchanged ones write nothing.
- An older version never replaces a newer one, whichever way it came (poll or webhook).
- `activity.added`, `activity.changed` and `activity.deleted` tell what happened to each record, `metrics.changed` which
  numbers of a page moved. A change of counters alone is stored and tells nobody.
"""
