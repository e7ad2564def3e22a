-- Sign of life, and the open requests to cancel running jobs. Parameters: worker, running, done, failed, state.
-- No row: the worker was declared dead. Index: primary key; job_cancel is nearly always empty.
UPDATE worker SET beat_at = now(), running = %(running)s, done = %(done)s, failed = %(failed)s, state = %(state)s
WHERE id = %(worker)s
RETURNING id, (SELECT array_agg(job_id) FROM job_cancel)
