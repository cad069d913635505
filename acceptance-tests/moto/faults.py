"""microburst, a proxy that injects faults, in front of an endpoint (the first argument) by rules (the second, in JSON): on a
port of loopback that the kernel chooses, which it prints.  Ends with its standard input."""

import asyncio
import json
import sys

from aiohttp import web
from microburst.app import make_app
from microburst.core.pipeline import Microburst


async def main():
    app = make_app(Microburst(sys.argv[1], rules=json.loads(sys.argv[2])))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


asyncio.run(main())
