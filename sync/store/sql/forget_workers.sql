-- Rows of workers silent for so long that their leases are surely rescued. Parameters: timeout_s.
DELETE FROM worker w
WHERE beat_at < now() - make_interval(secs => %(timeout_s)s)
  AND pg_postmaster_start_time() < now() - make_interval(secs => %(timeout_s)s)
  AND NOT EXISTS (SELECT 1 FROM job_lease l WHERE l.worker_id = w.id)
