-- These comments and everything above them that is known.
WITH RECURSIVE above (integration_id, vendor_id, parent_id, root_id) AS (
  SELECT m.integration_id, m.vendor_id, m.parent_id, m.root_id
  FROM unnest(%(integrations)s::int8[], %(vendor_ids)s::text[]) AS given (integration_id, vendor_id)
  JOIN inbox_message m ON m.integration_id = given.integration_id AND m.vendor_id = given.vendor_id AND m.in_tree
  UNION
  SELECT m.integration_id, m.vendor_id, m.parent_id, m.root_id
  FROM above a
  JOIN inbox_message m ON m.integration_id = a.integration_id AND m.vendor_id = a.parent_id AND m.in_tree
)
SELECT * FROM above
