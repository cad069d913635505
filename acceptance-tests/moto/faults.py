"""microburst, a proxy that injects faults, in front of an endpoint (the first argument) by rules (the second, in JSON): on a
port of loopback that the kernel chooses, which it prints.  Writes what it is asked for into a file (the third), each request
as a line of JSON, before a rule can stand in its way.  Ends with its standard input."""

import asyncio
import json
import sys
import urllib.parse

from aiohttp import web
from microburst.app import make_app
from microburst.core.pipeline import Microburst

recording = open(sys.argv[3], "a", encoding="utf-8")


def recorded(decide):
    """What decides on a request, with a note of it before."""

    def note(context):
        body = (context.body or b"").decode()
        asked = json.loads(body) if body.startswith("{") else dict(urllib.parse.parse_qsl(body))
        print(json.dumps({"Action": context.operation, **asked}), file=recording, flush=True)
        return decide(context)

    return note


async def main():
    proxy = Microburst(sys.argv[1], rules=json.loads(sys.argv[2]))
    proxy.engine.decide = recorded(proxy.engine.decide)
    runner = web.AppRunner(make_app(proxy), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


asyncio.run(main())
