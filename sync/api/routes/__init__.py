"""One router per noun; `ROUTERS` in the order in which the documentation shows them."""

from sync.api.routes import (
    activities,
    alerts,
    audit_log,
    consent,
    control,
    health,
    integrations,
    jobs,
    mail,
    metrics,
    overview,
    queue,
    runs,
    schedules,
    secrets,
    trigger,
)

ROUTERS = (
    overview.router,
    queue.router,
    control.router,
    secrets.router,
    trigger.router,
    runs.router,
    jobs.router,
    schedules.router,
    integrations.router,
    consent.router,
    activities.router,
    metrics.router,
    mail.router,
    alerts.router,
    audit_log.router,
    health.router,
)
