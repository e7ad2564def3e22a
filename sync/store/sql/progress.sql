-- Progress of a running job. Parameters: job, org, percent, message, checkpoint (JSON text). Index: primary key.
INSERT INTO job_progress (job_id, org_id, percent, message, checkpoint)
VALUES (%(job)s, %(org)s, %(percent)s, %(message)s, %(checkpoint)s)
ON CONFLICT (job_id) DO UPDATE SET
  percent = excluded.percent,
  message = coalesce(excluded.message, job_progress.message),
  checkpoint = coalesce(excluded.checkpoint, job_progress.checkpoint),
  updated_at = now()
