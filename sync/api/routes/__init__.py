"""One router per noun; `ROUTERS` in the order in which the documentation shows them."""

from sync.api.routes import health

ROUTERS = (health.router,)
