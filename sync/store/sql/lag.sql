-- Per pool the oldest job that could run now, and the newest seq there is: a loose index scan, one descent per lane that
-- exists. Paused queues and orgs wait on purpose; where a concurrency limit holds jobs back, more members would not help.
-- Parameters: none. Index: job_pick.
SELECT newest.last_value AS newest, waiting.pool, waiting.oldest
FROM job_seq AS newest LEFT JOIN (
  SELECT q.pool, min(found.seq) AS oldest
  FROM queue q CROSS JOIN LATERAL (
    WITH RECURSIVE step AS (
      (SELECT org_id, lane, seq FROM job WHERE queue_id = q.id ORDER BY org_id, lane, seq LIMIT 1)
      UNION ALL
      SELECT n.org_id, n.lane, n.seq
      FROM step s
      CROSS JOIN LATERAL (
        SELECT j.org_id, j.lane, j.seq FROM job j
        WHERE j.queue_id = q.id AND (j.org_id, j.lane) > (s.org_id, s.lane)
        ORDER BY j.org_id, j.lane, j.seq LIMIT 1) n
    )
    SELECT org_id, seq FROM step LIMIT 5000
  ) found
  WHERE q.paused_at IS NULL AND q.concurrency IS NULL AND q.org_concurrency IS NULL
    AND NOT EXISTS (SELECT 1 FROM org_share o WHERE o.org_id = found.org_id AND o.paused_at IS NOT NULL)
  GROUP BY q.pool
) waiting ON true
