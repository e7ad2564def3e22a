-- The mark "this job ended", inside the handler's own transaction. Parameters: lease, worker, job.
-- No row: the lease was rescued or the job already ended; the caller rolls back. Index: primary key.
UPDATE job_lease SET finished = finished || %(job)s::bigint
WHERE id = %(lease)s AND worker_id = %(worker)s AND NOT %(job)s::bigint = ANY (finished)
