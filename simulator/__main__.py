"""`python -m simulator`: serve a world, print its base URL, let it live."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from simulator.server import running
from simulator.webhooks import Target
from simulator.world import SCALES, World


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--start", type=float, help="when this world began (epoch seconds): the same data as then")
    parser.add_argument("--vendors", default="", help="comma separated; all when not given")
    parser.add_argument("--scale", choices=sorted(SCALES), default="demo")
    parser.add_argument("--sync-url", default="", help="where Sync listens: webhooks go there")
    parser.add_argument("--webhook-path", default="/social-activity/webhook/{vendor}")
    parser.add_argument("--live", type=float, default=0, help="things that happen per second, over all vendors")
    parser.add_argument("--no-limits", action="store_true", help="count calls over the limit, refuse none")
    parser.add_argument("--tethered", action="store_true", help="end when standard input, a pipe, ends")
    return parser.parse_args()


async def _main(args: argparse.Namespace) -> None:
    world = World(
        args.seed,
        scale=args.scale,
        vendors=args.vendors.split(",") if args.vendors else None,
        limits=False if args.no_limits else None,
        start=args.start,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, stop.set)
    if args.tethered:
        loop.add_reader(0, _until_closed, stop)
    async with running(world, host=args.host, port=args.port) as base_url:
        sys.stdout.write(f"{base_url}\n")
        sys.stdout.flush()
        if args.sync_url:
            for vendor in world.vendors.values():
                if vendor.hooks_by_account:
                    continue
                vendor.hooks.add(Target(args.sync_url.rstrip("/") + args.webhook_path.format(vendor=vendor.slug)))
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), 1 / args.live if args.live else None)
            except TimeoutError:
                world.grow(1)


def _until_closed(stop: asyncio.Event) -> None:
    if not os.read(0, 1024):
        stop.set()


def main() -> None:
    args = _arguments()
    try:
        import uvloop
    except ImportError:
        asyncio.run(_main(args))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_main(args))


if __name__ == "__main__":
    main()
