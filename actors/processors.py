"""Members of the processor pools: the same host as the consumers, for queues of their own."""

from __future__ import annotations

from actors.consumers import PoolMemberActor


class NotificationProcessorActor(PoolMemberActor):
    """Delivers notifications."""


class EscalationProcessorActor(PoolMemberActor):
    """Acts on crossed SLA thresholds."""


class BillingProcessorActor(PoolMemberActor):
    """Closes usage windows, makes invoices, charges."""
