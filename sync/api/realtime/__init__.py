"""The two ways to the hub of `sync.realtime`: WebSocket, and server-sent events where proxies know no other."""
