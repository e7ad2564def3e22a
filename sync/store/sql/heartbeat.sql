-- Sign of life, and the open requests to cancel running jobs. Parameters: worker, running, done, failed, state, succeeded (queues
-- with a success since the last beat). No row: the worker was declared dead. Index: primary keys; job_cancel is nearly always empty.
WITH success AS (
  UPDATE queue SET last_success_at = now() WHERE id = ANY (%(succeeded)s::smallint[])
)
UPDATE worker SET beat_at = now(), running = %(running)s, done = %(done)s, failed = %(failed)s, state = %(state)s
WHERE id = %(worker)s
RETURNING id, (SELECT array_agg(job_id) FROM job_cancel)
