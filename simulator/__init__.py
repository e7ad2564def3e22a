"""Twelve vendors over real HTTP on this machine, for tests, benchmarks and the demonstration (see README.md)."""

from simulator.server import running, served
from simulator.world import World

__all__ = ["World", "running", "served"]
