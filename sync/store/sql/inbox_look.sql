-- The rows behind a batch of activity events: what each says, and what the inbox knew of it.
SELECT a.id, a.org_id, a.integration_id, a.platform, a.kind, a.vendor_id, a.parent_id, a.thread_id AS root_id, a.place,
       a.author_id, a.author_name, a.author_handle, a.author_url, a.direction, a.occurred_at,
       a.deleted_at IS NOT NULL AS deleted, a.data ->> 'email' AS email, a.data ->> 'to' AS written_to,
       m.thread_key AS old_key, m.parent_id AS old_parent, m.root_id AS old_root
FROM activity a
LEFT JOIN inbox_message m ON m.activity_id = a.id
WHERE a.id = ANY(%(ids)s) AND a.kind IN ('comment', 'message', 'profile')
ORDER BY a.id
