"""The HTTP API: one FastAPI application, built by `sync.api.app.create_app`.

    request ─► middleware (request id, body size, security headers)
            ─► token ─► principal (subject, org, role)        auth.py, keys.py
            ─► route: validate, one unit of work, answer      routes/
                        │ rows + audit, one transaction       units.py
                        └ after the commit: nudge, not awaited control.py

Three rules hold everywhere:

- The token's org is the tenant. Repositories get it as an argument; what belongs to another org answers 404.
- No route waits for work to be done. It writes rows and answers 202; a nudge only makes the work start sooner.
- A unit of work runs to its end even when the client has gone, because Ray Serve cancels the handler then.
"""
