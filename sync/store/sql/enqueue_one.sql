-- One plain job (due now, no keys). Parameters: queue, lane, max_attempts, org, kind, args, meta (JSON text).
INSERT INTO job (queue_id, lane, max_attempts, org_id, kind, args, meta)
VALUES (%(queue)s, %(lane)s, %(max_attempts)s, %(org)s, %(kind)s, %(args)s, %(meta)s)
RETURNING seq
