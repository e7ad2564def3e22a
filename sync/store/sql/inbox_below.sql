-- These comments and everything below them, whose threads may change when they come or move.
WITH RECURSIVE below (integration_id, vendor_id) AS (
  SELECT g.integration_id, g.vendor_id COLLATE "C"
  FROM unnest(%(integrations)s::int8[], %(vendor_ids)s::text[]) AS g (integration_id, vendor_id)
  UNION
  SELECT m.integration_id, m.vendor_id
  FROM below b
  JOIN inbox_message m ON m.integration_id = b.integration_id AND m.parent_id = b.vendor_id AND m.in_tree
)
SELECT m.activity_id, m.integration_id, m.vendor_id, m.kind, m.thread_key
FROM below b
JOIN inbox_message m ON m.integration_id = b.integration_id AND m.vendor_id = b.vendor_id AND m.in_tree
