"""External mail over IMAP: read-only, incremental by (UIDVALIDITY, UID)."""
