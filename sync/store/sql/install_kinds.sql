-- Kinds as the catalogue has them; kinds it no longer has are kept but marked, their stored jobs wait.
-- Parameters: kinds, queues, priorities, max_attempts (arrays). Index: primary key.
WITH wanted AS (
  SELECT k.kind, q.id AS queue_id, k.priority, k.max_attempts
  FROM unnest(%(kinds)s::text[], %(queues)s::text[], %(priorities)s::smallint[], %(max_attempts)s::smallint[])
    AS k(kind, queue, priority, max_attempts)
  JOIN queue q ON q.name = k.queue
), retired AS (
  UPDATE job_kind j SET retired_at = now()
  WHERE retired_at IS NULL AND NOT EXISTS (SELECT 1 FROM wanted w WHERE w.kind = j.kind)
)
INSERT INTO job_kind AS j (kind, queue_id, priority, max_attempts)
SELECT kind, queue_id, priority, max_attempts FROM wanted ORDER BY kind
ON CONFLICT (kind) DO UPDATE SET
  queue_id = excluded.queue_id, priority = excluded.priority, max_attempts = excluded.max_attempts, retired_at = NULL
WHERE (j.queue_id, j.priority, j.max_attempts, j.retired_at) IS DISTINCT FROM
      (excluded.queue_id, excluded.priority, excluded.max_attempts, NULL)
