"""The provider's HTTP: who may call, what is drawn for a call, and the books behind it."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from decimal import Decimal
from random import Random
from typing import Any

from aiohttp import BasicAuth, web
from pydantic import ValidationError

from deploy.provider.books import Answer, Books, Wrong
from deploy.provider.settings import Faults, ProviderSettings

BODY_BYTES_MAX = 64 * 1024
KEY_CHARACTERS_MAX = 255
SHUTDOWN_S = 1.0
"""For the calls in hand when it is asked to stop."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Provider:
    """One provider and its books."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._settings = settings
        self._faults = settings.faults()
        self._back_at = 0.0
        self._attempts: Counter[str] = Counter()
        self.books = Books(settings.books)

    def app(self) -> web.Application:
        """The server's routes."""
        app = web.Application(middlewares=[self._only_callers], client_max_size=BODY_BYTES_MAX)
        app.add_routes(
            [
                web.post("/charges", self._charges),
                web.post("/refunds", self._refunds),
                web.get("/books", self._books),
                web.post("/faults", self._misbehave),
                web.get("/health", self._health),
            ]
        )
        return app

    @web.middleware
    async def _only_callers(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._settings.token and not hmac.compare_digest(_password(request), self._settings.token.encode()):
            return web.json_response({"reason": "who are you?"}, status=401)
        try:
            return await handler(request)
        except Wrong as wrong:
            return web.json_response({"status": "wrong", "reason": wrong.reason}, status=wrong.status)

    async def _charges(self, request: web.Request) -> web.StreamResponse:
        def charge(key: str, asked: dict[str, Any]) -> Answer:
            return self.books.charge(key, asked, self._declined(key, asked))

        return await self._call(request, charge)

    async def _refunds(self, request: web.Request) -> web.StreamResponse:
        return await self._call(request, self.books.refund)

    async def _call(self, request: web.Request, enter: Callable[[str, dict[str, Any]], Answer]) -> web.StreamResponse:
        key = request.headers.get("Idempotency-Key", "")
        if not 0 < len(key) <= KEY_CHARACTERS_MAX:
            raise Wrong(400, "an Idempotency-Key is wanted")
        try:
            asked = await request.json()
        except ValueError:
            asked = None
        if not isinstance(asked, dict):
            raise Wrong(400, "a JSON object is wanted")
        if self._away:
            return _cut(request)
        self._attempts[key] += 1
        draw = self._draw(f"{key}/{self._attempts[key]}")
        faults = self._faults
        await asyncio.sleep(draw.random() * faults.delay_s)
        if self._away:
            return _cut(request)
        if draw.random() < faults.fail:
            return web.json_response({"reason": "something broke"}, status=500)
        answer = enter(key, asked)
        if draw.random() < faults.drop:
            return _cut(request)
        headers = {"Idempotent-Replayed": "true"} if answer.repeated else {}
        return web.json_response(answer.body, status=answer.status, headers=headers)

    def _declined(self, key: str, asked: dict[str, Any]) -> str | None:
        """Why a charge is declined, by its key alone: the same at every attempt."""
        try:
            if Decimal(asked["amount"]) > self._settings.decline_over:
                return "over the limit"
        except (ArithmeticError, KeyError, TypeError, ValueError):
            return None  # the books will say what is wrong with it
        return "insufficient funds" if self._draw(f"{key}/declined").random() < self._faults.decline else None

    def _draw(self, what: str) -> Random:
        return Random(f"{self._settings.seed}/{what}")  # noqa: S311 - a simulation, not a secret

    @property
    def _away(self) -> bool:
        return time.monotonic() < self._back_at

    async def _books(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"seed": self._settings.seed, **self.books.all()})

    async def _misbehave(self, request: web.Request) -> web.StreamResponse:
        try:
            told = await request.json()
            self._faults = Faults(**{**self._faults.model_dump(), "away_s": 0.0, **told})
        except (ValueError, TypeError, ValidationError) as error:
            raise Wrong(400, f"not faults: {error}") from None
        self._back_at = time.monotonic() + self._faults.away_s
        return web.json_response(self._faults.model_dump())

    async def _health(self, request: web.Request) -> web.StreamResponse:
        return _cut(request) if self._away else web.json_response({"healthy": True})


def _password(request: web.Request) -> bytes:
    try:
        password: str = BasicAuth.decode(request.headers.get("Authorization", "")).password
    except ValueError:
        return b""
    return password.encode()


def _cut(request: web.Request) -> web.StreamResponse:
    """End the connection without a word."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def serve(settings: ProviderSettings, stop: asyncio.Event) -> None:
    """Answer calls until `stop` is set."""
    provider = Provider(settings)
    runner = web.AppRunner(provider.app(), access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        print(json.dumps({"event": "serving", "addresses": runner.addresses, "seed": settings.seed}), flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()
        provider.books.close()
