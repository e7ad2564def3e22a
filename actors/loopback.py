"""The one socket that Ray opens to the network without asking: see `keep_grpc_private`."""

from __future__ import annotations

from typing import Any

import ray

from actors.environment import LOOPBACK


def keep_grpc_private() -> None:
    """Call in a Serve replica before it is initialised (its callable's constructor is early enough).

    Each replica opens a port for calls between deployments on all interfaces (ray 2.60, serve/_private/replica.py).
    Callers need the cluster's token, but a cluster that lives on loopback has no business on the network at all.
    """
    if ray.util.get_node_ip_address() != LOOPBACK:
        return
    from ray.serve._private import replica

    add_port = replica.add_port_to_grpc_server

    def on_loopback(server: Any, address: str) -> int:
        return int(add_port(server, address.replace("[::]", LOOPBACK)))

    replica.add_port_to_grpc_server = on_loopback
