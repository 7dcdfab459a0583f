"""The door: what it lets through, what it answers itself, and what it writes down."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from time import monotonic, time
from typing import Any

from tasks.gateway import sse
from tasks.gateway.calling import OK, Caller, Exchange, take_event
from tasks.gateway.cassette import Player, Recorder, Take
from tasks.gateway.http1 import Head
from tasks.gateway.ledger import Ledger
from tasks.gateway.meter import Hold, Meter
from tasks.gateway.policy import Policy
from tasks.gateway.reply import HungUp, Reply
from tasks.gateway.requests import Asked, parse
from tasks.gateway.usage import CHARACTERS_A_TOKEN, Price, Prices, Usage
from tasks.gateway.wires import ANTHROPIC, OPENAI, OPERATIONS, Refusal, Wire, guess

JSON_TYPE = {"content-type": "application/json"}

Service = Callable[[Head, bytes], Awaitable[tuple[int, dict[str, Any]]]]
"""Something else than a model that the door offers: status and JSON."""


class Door:
    """Serves the requests of one trial; lives in one event loop."""

    def __init__(
        self,
        policy: Policy,
        caller: Caller,
        ledger: Ledger,
        *,
        token: str,
        prices: Prices,
        recorder: Recorder | None = None,
        player: Player | None = None,
        services: Mapping[tuple[str, str], Service] | None = None,
        keyed: Mapping[tuple[str, str], Service] | None = None,
    ) -> None:
        """Put the parts together; nothing is opened yet."""
        self.policy = policy
        self.meter = Meter(policy)
        self.models: dict[str, int] = {}
        """Calls by the model's name as the agent says it."""
        self._caller = caller
        self._ledger = ledger
        self._token = token.encode()
        self._prices = prices
        self._recorder = recorder
        self._player = player
        self._open = {("GET", "/budget"): self._budget, **(services or {})}
        self._services = {**self._open, **(keyed or {})}
        self._slots = asyncio.Semaphore(policy.concurrency)
        self._waiting = 0

    def admits(self, head: Head, *, crowded: bool = False) -> None:
        """Look at a request before its body is read.

        Raises:
            Refusal: Its token or its path is wrong, or there are too many connections.
        """
        if crowded:
            raise Refusal("rate", "too many connections", status=503, retry_s=1.0)
        if (head.method, head.path) in self._open:
            return
        if not hmac.compare_digest(_key_of(head), self._token):
            raise Refusal("key", "not the key of this trial")
        if (head.method, head.path) in self._services:
            return
        if head.method == "GET" and _model_listed(head.path) is not None:
            return
        if _path(head) not in OPERATIONS:
            raise Refusal("not found", "no such path here", status=404)
        if head.method != "POST":
            raise Refusal("invalid", f"{_path(head)} takes POST", status=405)

    async def serve(self, head: Head, body: bytes, reply: Reply) -> None:
        """Answer a request that was admitted.

        Raises:
            HungUp: The agent is gone.
        """
        service = self._services.get((head.method, head.path))
        if service is not None:
            status, said = await service(head, body)
            await reply.whole(status, JSON_TYPE, json.dumps(said).encode())
            return
        try:
            if head.method == "GET":
                await self._list_models(head, reply)
            else:
                await self._call(head, body, reply)
        except Refusal as refusal:
            self.meter.spent.refused += refusal.kind != "upstream"
            await self.refuse(head, refusal, reply)

    async def refuse(self, head: Head | None, refusal: Refusal, reply: Reply) -> None:
        """Say no, as the provider would."""
        wire = wire_of(head)
        status, body = wire.error(refusal)
        # Both SDKs obey it; without it they try again what cannot succeed.
        fields = {**JSON_TYPE, "x-should-retry": "true" if refusal.again else "false"}
        if refusal.retry_s is not None:
            fields["retry-after"] = f"{refusal.retry_s:.3f}"
        await reply.whole(status, fields, self._ledger.secrets.hide_bytes(body))

    async def _call(self, head: Head, body: bytes, reply: Reply) -> None:
        operation = OPERATIONS[_path(head)]
        asked = parse(operation, body, self.policy.models, hosted=self.policy.hosted)
        price = self._price(asked)
        exchange = Exchange(asked, asked.encoded())
        async with self._slot():
            number = self.meter.admit(self._hold(exchange, price))
            exchange.began = monotonic()
            try:
                if self._player is not None:
                    await self._play(exchange, reply)
                else:
                    passed = {k: head.fields[k] for k in operation.wire.passed & head.fields.keys()}
                    await self._caller.call(exchange, passed, reply)
            except (Refusal, HungUp) as error:
                exchange.error = str(error) if isinstance(error, Refusal) else "the agent hung up"
                raise
            except asyncio.CancelledError:
                exchange.error, exchange.dropped = "the door was closed", self._player is None
                raise
            finally:
                self._book(number, exchange, price)

    def _price(self, asked: Asked) -> Price | None:
        price = self._prices.of(str(asked.body["model"]))
        if price is None and self.policy.cost_usd is not None and self._player is None:
            raise Refusal(
                "forbidden",
                f"no price is known for {asked.model}, so that a budget of cost cannot be kept",
            )
        return price

    def _hold(self, exchange: Exchange, price: Price | None) -> Hold:
        given = len(exchange.sent) // CHARACTERS_A_TOKEN
        usage = Usage(input=given, output=exchange.asked.most_output)
        return Hold(usage.total, 0.0 if price is None or self._player else price.cost(usage))

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Wait for a place among the calls under way."""
        if self._slots.locked() and self._waiting >= self.policy.waiting:
            raise Refusal("rate", "too many calls at once", retry_s=1.0)
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def _play(self, exchange: Exchange, reply: Reply) -> None:
        assert self._player is not None
        asked = exchange.asked
        take = self._player.play(asked.operation.path, asked.body)
        if take is None:
            raise Refusal("replay", f"not in the cassette: {self._player.nearest(asked.body)}")
        exchange.begun(take.status)
        exchange.content_type = take.content_type
        parts = [part.encode() for part in take.parts]
        if take.content_type != "text/event-stream":
            exchange.parts = parts
            exchange.whole = True
            if take.status == OK:
                exchange.usage = asked.operation.wire.usage(json.loads(parts[0]))
            await reply.whole(take.status, JSON_TYPE, parts[0])
            return
        await reply.begin(take.status, {"content-type": take.content_type})
        for part in parts:
            if take_event(exchange, part):
                await reply.piece(part)
        await reply.end()

    def _book(self, number: int, exchange: Exchange, price: Price | None) -> None:
        """Count and record a call, however it ended."""
        asked, seconds = exchange.asked, monotonic() - exchange.began
        answered = exchange.status == OK or exchange.dropped
        size = sum(map(len, exchange.parts))
        usage = exchange.usage or Usage()
        if exchange.usage is None and answered and asked.operation.measured:
            usage = guess(len(exchange.sent), size, exchange.events)
        cost = 0.0 if self._player is not None or not answered else None
        if cost is None and price is not None:
            cost = price.cost(usage)
        self.meter.settle(number, usage, cost, seconds)
        self.meter.spent.failed += exchange.error is not None
        self.models[asked.model] = self.models.get(asked.model, 0) + 1
        if self._recorder is not None and exchange.whole:
            self._recorder.record(_take(exchange))
        entry = {
            "time": time(),
            "call": number,
            "operation": asked.operation.name,
            "model": asked.model,
            "upstream_model": asked.body["model"],
            "stream": asked.stream,
            "replayed": self._player is not None,
            "status": exchange.status,
            "seconds": round(seconds, 6),
            "first_byte_s": exchange.first_byte_s and round(exchange.first_byte_s, 6),
            **asdict(usage),
            "cost_usd": cost,
            "error": exchange.error,
            "request_bytes": len(exchange.sent),
            "response_bytes": size,
        }
        self._ledger.write(entry, exchange.sent, b"".join(exchange.parts))

    async def _list_models(self, head: Head, reply: Reply) -> None:
        wanted = _model_listed(head.path) or ""
        if wanted and self.policy.models and wanted not in self.policy.models:
            raise Refusal("not found", f"no model {wanted!r} for this agent")
        names = [wanted] if wanted else list(self.policy.models)
        listed = [
            {"id": name, "object": "model", "type": "model", "created": 0, "owned_by": "aexp",
             "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
            for name in names
        ]  # fmt: skip
        whole = {"object": "list", "data": listed, "has_more": False}
        await reply.whole(OK, JSON_TYPE, json.dumps(listed[0] if wanted else whole).encode())

    async def _budget(self, _head: Head, _body: bytes) -> tuple[int, dict[str, Any]]:
        return OK, {"left": self.meter.left(), "used": asdict(self.meter.spent)}


def _take(exchange: Exchange) -> Take:
    return Take(
        path=exchange.asked.operation.path,
        request=exchange.asked.body,
        status=exchange.status or OK,
        content_type=exchange.content_type,
        parts=tuple(sse.texts(exchange.parts)),
    )


def _path(head: Head) -> str:
    """Return the path with `/v1`: some clients are given the address without it."""
    return head.path if head.path.startswith("/v1/") else f"/v1{head.path}"


def _model_listed(path: str) -> str | None:
    """Return which model is looked up: an empty name for all, None if it is no such path."""
    tail = path.removeprefix("/v1")
    if tail == "/models":
        return ""
    return tail.removeprefix("/models/") if tail.startswith("/models/") else None


def _key_of(head: Head) -> bytes:
    key = head.fields.get("x-api-key") or head.fields.get("authorization", "").removeprefix(
        "Bearer "
    )
    return key.encode("latin-1")


def wire_of(head: Head | None) -> Wire:
    """Return in whose form a request is to be answered."""
    if head is None:
        return OPENAI
    spoken = head.path.startswith(("/v1/messages", "/messages"))
    return ANTHROPIC if spoken or "anthropic-version" in head.fields else OPENAI
