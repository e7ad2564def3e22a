"""One router per noun; `ROUTERS` in the order in which the documentation shows them."""

from sync.api.routes import alerts, health, queue

ROUTERS = (queue.router, alerts.router, health.router)
