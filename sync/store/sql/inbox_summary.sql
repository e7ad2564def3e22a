-- What the messages of these threads add up to. Every part descends an index to its first row; only unread ones are
-- counted, and not further than the cap.
SELECT i.org_id, i.platform, i.created_at AS connected_at, k.integration_id, k.thread_key,
       first.kind, first.root_id, first.place, first.occurred_at AS opened_at, who.contact_id,
       heard.occurred_at AS last_in_at, heard.activity_id AS last_in_id,
       last.activity_id AS last_message_id, last.occurred_at AS last_message_at,
       a.direction AS last_message_direction, left(a.text, 1000) AS last_text, a.title AS last_title,
       a.attachments AS last_attachments, unread.count AS unread
FROM unnest(%(integrations)s::int8[], %(keys)s::text[], %(read)s::int8[]) AS k (integration_id, thread_key, read_through)
JOIN integration i ON i.id = k.integration_id
CROSS JOIN LATERAL (
  SELECT m.kind, m.root_id, m.place, m.occurred_at, m.author_kind, m.author_value FROM inbox_message m
  WHERE m.integration_id = k.integration_id AND m.thread_key = k.thread_key AND m.incoming
  ORDER BY m.occurred_at, m.activity_id LIMIT 1
) AS first
LEFT JOIN contact_identity who
  ON who.org_id = i.org_id AND who.kind = first.author_kind AND who.value = first.author_value
LEFT JOIN LATERAL (
  SELECT m.occurred_at, m.activity_id FROM inbox_message m
  WHERE m.integration_id = k.integration_id AND m.thread_key = k.thread_key AND m.incoming AND NOT m.deleted
  ORDER BY m.occurred_at DESC, m.activity_id DESC LIMIT 1
) AS heard ON true
LEFT JOIN LATERAL (
  SELECT m.occurred_at, m.activity_id FROM inbox_message m
  WHERE m.integration_id = k.integration_id AND m.thread_key = k.thread_key AND NOT m.incoming AND NOT m.deleted
  ORDER BY m.occurred_at DESC, m.activity_id DESC LIMIT 1
) AS own ON true
LEFT JOIN LATERAL (
  SELECT m.occurred_at, m.activity_id FROM inbox_message m
  WHERE m.integration_id = k.integration_id AND m.thread_key = k.thread_key AND NOT m.deleted
  ORDER BY m.occurred_at DESC, m.activity_id DESC LIMIT 1
) AS last ON true
LEFT JOIN activity a ON a.id = last.activity_id
CROSS JOIN LATERAL (
  SELECT count(*)::int FROM (
    SELECT FROM inbox_message m
    WHERE m.integration_id = k.integration_id AND m.thread_key = k.thread_key AND m.incoming AND NOT m.deleted
      AND m.seq > k.read_through
      AND m.occurred_at >= i.created_at - %(history)s
      AND (own.occurred_at IS NULL OR (m.occurred_at, m.activity_id) > (own.occurred_at, own.activity_id))
    LIMIT %(cap)s
  ) AS found
) AS unread
