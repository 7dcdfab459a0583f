"""How a request gets its answer: from a model upstream, with patience, or from a cassette."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import monotonic, time

from tasks.gateway import http1, sse
from tasks.gateway.ledger import Secrets
from tasks.gateway.policy import Policy
from tasks.gateway.reply import Reply
from tasks.gateway.requests import Asked
from tasks.gateway.upstream import Answer, Pool, Unreachable
from tasks.gateway.usage import Usage
from tasks.gateway.wires import Refusal, merged

BUSY = frozenset({429, 502, 503, 529})
OK = 200
ERROR_BYTES = 64 * 1024
_REDIRECTS, _ERRORS = 300, 400
_KEY_REFUSED = frozenset({401, 403, 407})
_ENDS = {
    "chat": (b"[DONE]",),
    "completions": (b"[DONE]",),
    "responses": (b"response.completed", b"response.incomplete", b"response.failed"),
    "messages": (b"message_stop",),
}
"""What the last event of a stream says; a stream without it was cut off."""


@dataclass(slots=True)
class Exchange:
    """One call, as it goes on; what it comes to is booked and recorded."""

    asked: Asked
    sent: bytes
    began: float = field(default_factory=monotonic)
    status: int | None = None
    first_byte_s: float | None = None
    usage: Usage | None = None
    parts: list[bytes] = field(default_factory=list)
    """The answer: one body, or the events of a stream."""
    events: int = 0
    content_type: str = "application/json"
    whole: bool = False
    """Whether the answer came to its end."""
    error: str | None = None
    dropped: bool = False
    """Whether we gave up on an answer that the provider may well have written, and billed."""

    def begun(self, status: int) -> None:
        """Note that an answer has begun."""
        self.status = status
        self.first_byte_s = monotonic() - self.began


class Caller:
    """Calls models upstream; where one is busy, all calls of the trial wait."""

    def __init__(self, policy: Policy, pools: Mapping[str, Pool], secrets: Secrets) -> None:
        self.policy = policy
        self.pools = pools
        self.secrets = secrets
        self._resume_at = 0.0

    async def call(self, exchange: Exchange, fields: Mapping[str, str], reply: Reply) -> None:
        """Get an answer from upstream and send it on.

        Raises:
            Refusal: There is none that could be sent on.
            HungUp: The agent is gone.
        """
        asked = exchange.asked
        async with self._answer(exchange, fields) as answer:
            exchange.begun(answer.status)
            if answer.status != OK:
                await self._send_error(exchange, answer, reply)
            elif asked.stream and answer.fields.get("content-type", "").startswith("text/event-"):
                await self._stream(exchange, answer, reply)
            else:
                await self._send_whole(exchange, answer, reply)

    @asynccontextmanager
    async def _answer(self, exchange: Exchange, fields: Mapping[str, str]) -> AsyncIterator[Answer]:
        answer = await self._begin(exchange, fields)
        try:
            yield answer
        finally:
            answer.close()

    async def _begin(self, exchange: Exchange, fields: Mapping[str, str]) -> Answer:
        policy, operation = self.policy, exchange.asked.operation
        pool = self.pools.get(operation.wire.name)
        if pool is None:
            raise Refusal("upstream", f"this trial has no {operation.wire.name} endpoint")
        for attempt in range(policy.retries + 1):
            await asyncio.sleep(max(0.0, self._resume_at - monotonic()))
            last = attempt == policy.retries
            wait = 0.5 * 2**attempt
            try:
                answer = await pool.send(
                    operation.wire, operation.path, fields, exchange.sent, policy.silence_s
                )
            except Unreachable as error:
                if last:
                    message = f"the model cannot be reached: {error}"
                    raise Refusal("upstream", message, retry_s=wait) from error
            except TimeoutError as error:
                exchange.dropped = True
                message = f"the model said nothing for {policy.silence_s:g} s"
                raise Refusal("upstream", message, status=504) from error
            else:
                told = retry_after(answer.fields)
                wait = wait if told is None else told
                if answer.status not in BUSY or last or wait > policy.patience_s:
                    return answer
                answer.close()
            self._resume_at = max(self._resume_at, monotonic() + wait)
        raise Refusal("upstream", "the model cannot be reached")

    async def _send_error(self, exchange: Exchange, answer: Answer, reply: Reply) -> None:
        """Pass on an error of the provider's, but not what concerns only us."""
        wire = exchange.asked.operation.wire
        if answer.status in _KEY_REFUSED:
            raise Refusal("upstream", "the provider refused the key of the door")
        if _REDIRECTS <= answer.status < _ERRORS:
            raise Refusal("upstream", "the provider sent a redirect, which is not followed")
        body = self.secrets.hide_bytes(await self._read(answer, ERROR_BYTES))
        told = retry_after(answer.fields)
        if not _is_object(body):
            message = f"the provider answered with status {answer.status}"
            _, body = wire.error(Refusal("upstream", message))
        exchange.parts = [body]
        exchange.error = f"status {answer.status}"
        exchange.whole = True
        fields = {"content-type": "application/json"}
        await reply.whole(
            answer.status, fields if told is None else {**fields, "retry-after": f"{told:g}"}, body
        )

    async def _send_whole(self, exchange: Exchange, answer: Answer, reply: Reply) -> None:
        body = self.secrets.hide_bytes(await self._read(answer, self.policy.answer_bytes))
        if not _is_object(body):
            raise Refusal("upstream", "the provider answered with something that is no JSON")
        exchange.usage = exchange.asked.operation.wire.usage(json.loads(body))
        exchange.parts = [body]
        exchange.whole = True
        await reply.whole(OK, {"content-type": "application/json"}, body)

    async def _read(self, answer: Answer, most: int) -> bytes:
        try:
            return b"".join([piece async for piece in answer.pieces(most)])
        except (http1.Malformed, EOFError, OSError) as error:
            raise Refusal("upstream", f"the answer cannot be used: {_said(error)}") from error

    async def _stream(self, exchange: Exchange, answer: Answer, reply: Reply) -> None:
        exchange.content_type = "text/event-stream"
        await reply.begin(OK, {"content-type": "text/event-stream", "cache-control": "no-cache"})
        try:
            async for events in self._events(answer):
                passed = [event for event in events if take_event(exchange, event)]
                await reply.piece(self.secrets.hide_bytes(b"".join(passed)))
            _ended(exchange)
        except (http1.Malformed, EOFError, OSError, ValueError) as error:
            exchange.error = f"cut off: {_said(error)}"
            refusal = Refusal("upstream", f"the answer was cut off: {_said(error)}")
            await reply.piece(exchange.asked.operation.wire.error_event(refusal))
        await reply.end()

    async def _events(self, answer: Answer) -> AsyncIterator[list[bytes]]:
        splitter = sse.Splitter()
        async for piece in answer.pieces(self.policy.answer_bytes):
            if events := splitter.feed(piece):
                yield events


def _ended(exchange: Exchange) -> None:
    if not exchange.whole:
        raise EOFError("its last event did not come")


def take_event(exchange: Exchange, event: bytes) -> bool:
    """Count an event; return whether the agent is to see it."""
    operation = exchange.asked.operation
    exchange.parts.append(event)
    exchange.events += 1
    if any(end in event for end in _ENDS[operation.name]):
        exchange.whole = True
    if b'"usage"' not in event:
        return True
    try:
        told = json.loads(sse.data_of(event))
    except (ValueError, RecursionError):
        return True  # a text that speaks of usage, in an event that is none of ours to judge
    exchange.usage = merged(exchange.usage, operation.wire.usage(told))
    only_usage = isinstance(told, dict) and told.get("choices") == []
    return not (exchange.asked.adds_usage and only_usage)


def retry_after(fields: Mapping[str, str]) -> float | None:
    """Return the seconds an answer asks to wait; None where it does not, or not readably."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = fields.get(name, "").strip()
        if value.replace(".", "", 1).isdecimal():
            return float(value) / unit
    try:
        until = parsedate_to_datetime(fields.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, until.timestamp() - time())


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _said(error: Exception) -> str:
    return "it came too slowly" if isinstance(error, TimeoutError) else str(error) or "cut off"
