#!/usr/bin/env python3
"""A web application (aiohttp) that is also the PMD: other processes need no other to find it.

python web.py [HTTP-PORT [PMD-PORT]]

GET /nodes              who is here
POST /nodes/NAME        sends the JSON of the body to a node
GET /messages           what came for "web" since the last time
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import AsyncIterator

from aiohttp import web

import distflow
from distflow import aio

NODE: web.AppKey[aio.Node] = web.AppKey("node", aio.Node)
INBOX: web.AppKey[deque[distflow.Message]] = web.AppKey("inbox", deque)
routes = web.RouteTableDef()


@routes.get("/nodes")
async def nodes(request: web.Request) -> web.Response:
    """Who is here, beside this application."""
    peers = await request.app[NODE].discover()
    return web.json_response([{"id": peer.node_id, "alias": peer.alias} for peer in peers])


@routes.post("/nodes/{name}")
async def send(request: web.Request) -> web.Response:
    """Sends the body."""
    try:
        payload = await request.json()
    except (ValueError, RecursionError) as error:
        raise web.HTTPBadRequest(text=f"the body is no JSON: {error}\n") from error
    try:
        await request.app[NODE].send(request.match_info["name"], payload, timeout=5)
    except distflow.ResolveFailedError as error:
        raise web.HTTPNotFound(text=f"{error}\n") from error
    except distflow.InvalidJsonError as error:
        raise web.HTTPBadRequest(text=f"{error}\n") from error
    except distflow.DistflowError as error:
        raise web.HTTPBadGateway(text=f"{error} ({error.code})\n") from error
    return web.Response(status=202)


@routes.get("/messages")
async def messages(request: web.Request) -> web.Response:
    """What came since the last time."""
    inbox = request.app[INBOX]
    came = [{"from": message.sender, "payload": message.payload} for message in inbox]
    inbox.clear()
    return web.json_response(came)


def with_distflow(port: int) -> web.Application:
    """The application, with a PMD on this port and a node that live as long as it."""

    async def live(app: web.Application) -> AsyncIterator[None]:
        with distflow.Pmd(port=port) as pmd:
            async with aio.Node(alias="web", pmd_port=pmd.port, auto_start=False) as node:
                app[NODE], app[INBOX] = node, deque(maxlen=1_000)
                node.on_message(app[INBOX].append)
                print(f"PMD on port {pmd.port}", flush=True)
                yield

    app = web.Application()
    app.add_routes(routes)
    app.cleanup_ctx.append(live)
    return app


async def serve(http_port: int, pmd_port: int) -> None:
    """Serves until it is cancelled."""
    runner = web.AppRunner(with_distflow(pmd_port))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "localhost", http_port)
        await site.start()
        print(f"http://localhost:{runner.addresses[0][1]}/nodes", flush=True)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Reads the arguments."""
    try:
        http_port, pmd_port = (*map(int, sys.argv[1:]), *(8080, 4369)[len(sys.argv) - 1 :])
    except ValueError:
        sys.exit(__doc__)
    try:
        asyncio.run(serve(http_port, pmd_port))
    except (distflow.DistflowError, OSError) as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
