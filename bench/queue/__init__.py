"""Benchmarks of the queue: `python -m bench.queue --help`."""
