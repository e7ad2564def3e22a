-- What every queue holds. Counts stop at `cap`, so that a deep queue costs no more than a shallow one.
-- Parameters: cap. Indexes: job_pick, job_scheduled_due; job_lease is small; job_dead counted up to the cap.
WITH running AS (
  SELECT queue_id, sum(size - cardinality(finished)) AS jobs FROM job_lease GROUP BY queue_id
)
SELECT q.id, q.name, q.pool, q.concurrency, q.org_concurrency, q.paused_at, q.paused_by, q.paused_reason, q.last_success_at,
  (SELECT count(*) FROM (SELECT 1 FROM job WHERE queue_id = q.id LIMIT %(cap)s) x) AS waiting,
  (SELECT count(*) FROM (SELECT 1 FROM job_scheduled WHERE queue_id = q.id LIMIT %(cap)s) x) AS scheduled,
  coalesce((SELECT jobs FROM running r WHERE r.queue_id = q.id), 0)::bigint AS running,
  (SELECT count(*) FROM (SELECT 1 FROM job_dead WHERE queue_id = q.id LIMIT %(cap)s) x) AS dead,
  -- The first job of each lane is its oldest; the queue's lag is that of the oldest of these.
  (SELECT date_part('epoch', now() - min(head.enqueued_at))
   FROM (
     WITH RECURSIVE step AS (
       (SELECT org_id, lane, enqueued_at FROM job WHERE queue_id = q.id ORDER BY org_id, lane, seq LIMIT 1)
       UNION ALL
       SELECT n.org_id, n.lane, n.enqueued_at FROM step s CROSS JOIN LATERAL (
         SELECT j.org_id, j.lane, j.enqueued_at FROM job j
         WHERE j.queue_id = q.id AND (j.org_id, j.lane) > (s.org_id, s.lane)
         ORDER BY j.org_id, j.lane, j.seq LIMIT 1) n
     ) SELECT enqueued_at FROM step LIMIT 1000
   ) head) AS lag_s
FROM queue q ORDER BY q.name
