-- Seconds until the next scheduled job of these queues is due; no row: none. Parameters: queues (array).
-- Index: job_scheduled_due, one descent per queue.
SELECT greatest(0, date_part('epoch', min(s.run_at) - now())) AS seconds
FROM unnest(%(queues)s::smallint[]) AS q(id)
CROSS JOIN LATERAL (SELECT run_at FROM job_scheduled WHERE queue_id = q.id ORDER BY run_at LIMIT 1) s
HAVING count(*) > 0
