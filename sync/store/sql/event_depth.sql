-- What the datatype consumer has before it: events that its slowest active subscriber has not read, and those that wait in
-- lanes. Of one org or (org is null) of all. Counts stop at `cap`. Parameters: org, cap.
-- Indexes: event_pkey, event_org, event_backlog_pkey, event_lane_pkey.
WITH reader AS (
  SELECT r.id, r.org_id, r.position FROM event_reader r LEFT JOIN subscription s ON s.reader_id = r.id
  WHERE (s.id IS NULL OR s.state = 'active') AND (%(org)s::text IS NULL OR r.org_id IS NULL OR r.org_id = %(org)s)
), unread AS (
  -- Whoever reads all orgs counts by the one that is furthest behind.
  SELECT first.created_at, (
    SELECT count(*) FROM (SELECT FROM event e WHERE e.id > slow.position LIMIT %(cap)s) x) AS behind
  FROM (SELECT min(position) AS position FROM reader WHERE org_id IS NULL) slow
  CROSS JOIN LATERAL (SELECT created_at FROM event e WHERE e.id > slow.position ORDER BY id LIMIT 1) first
  WHERE %(org)s::text IS NULL
  UNION ALL
  SELECT first.created_at, (
    SELECT count(*) FROM (SELECT FROM event e WHERE e.org_id = slow.org_id AND e.id > slow.position LIMIT %(cap)s) x)
  FROM (
    SELECT coalesce(org_id, %(org)s) AS org_id, min(position) AS position FROM reader
    WHERE org_id IS NOT NULL OR %(org)s::text IS NOT NULL GROUP BY 1) slow
  CROSS JOIN LATERAL (
    SELECT created_at FROM event e WHERE e.org_id = slow.org_id AND e.id > slow.position ORDER BY id LIMIT 1) first
)
SELECT least(%(cap)s, coalesce((SELECT max(behind) FROM unread), 0) + (
    SELECT count(*) FROM (
      SELECT FROM reader r JOIN event_backlog b ON b.reader_id = r.id AND (%(org)s::text IS NULL OR b.org_id = %(org)s)
      LIMIT %(cap)s) x)) AS waiting,
  (SELECT date_part('epoch', now() - min(created_at)) FROM unread) AS lag_s,
  (SELECT count(*) FROM (
     SELECT FROM reader r JOIN event_lane l ON l.reader_id = r.id AND (%(org)s::text IS NULL OR l.org_id = %(org)s)
     WHERE l.state = 'parked' LIMIT %(cap)s) x) AS parked
