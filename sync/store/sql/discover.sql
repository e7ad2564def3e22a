-- Which lanes of these queues hold work, and their lowest seq: a loose index scan, one descent per lane that exists. Paused queues have none
-- for us, or their lanes would be asked again after every look.
-- Parameters: queues (array). Index: job_pick.
SELECT q.id AS queue_id, found.org_id, found.lane, found.seq
FROM unnest(%(queues)s::smallint[]) AS q(id)
CROSS JOIN LATERAL (
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
  SELECT org_id, lane, seq FROM step LIMIT 20000
) found
WHERE NOT EXISTS (SELECT 1 FROM queue p WHERE p.id = q.id AND p.paused_at IS NOT NULL)
