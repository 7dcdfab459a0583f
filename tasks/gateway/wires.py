"""The two wires a model is reached by, as far as a door must know them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tasks.gateway import sse
from tasks.gateway.usage import CHARACTERS_A_TOKEN, Usage

Kind = Literal[
    "invalid", "key", "forbidden", "not found", "too large", "budget", "rate", "upstream", "replay"
]


class Refusal(Exception):  # noqa: N818 - named for what the agent reads
    """An answer that is no model's: what is wrong, said in the provider's own form."""

    def __init__(
        self, kind: Kind, message: str, *, status: int | None = None, retry_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.retry_s = retry_s

    @property
    def again(self) -> bool:
        """Whether it makes sense for the client to try again."""
        return self.kind == "rate" or (self.kind == "upstream" and self.retry_s is not None)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked of a model."""

    name: str
    path: str
    """Below the upstream's base, `/v1` included."""
    wire: "Wire"
    streams: bool = True
    measured: bool = True
    """Whether its answer tells of tokens."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What differs between the providers."""

    name: str
    auth: Callable[[str], dict[str, str]]
    """Fields that carry a key."""
    passed: frozenset[str]
    """Fields of a request that go upstream; all others stay here."""
    errors: Mapping[Kind, tuple[int, str, str | None]]
    """By kind: status, type, code."""
    usage: Callable[[Any], Usage | None]
    """Reads an answer, or the data of one event of a stream."""

    def error(self, refusal: Refusal) -> tuple[int, bytes]:
        """Return status and body as the provider itself would say it."""
        status, kind, code = self.errors[refusal.kind]
        said: dict[str, Any] = {"message": str(refusal), "type": kind}
        if self.name == "anthropic":
            body: dict[str, Any] = {"type": "error", "error": said}
        else:
            body = {"error": {**said, "param": None, "code": code}}
        return refusal.status or status, json.dumps(body).encode()

    def error_event(self, refusal: Refusal) -> bytes:
        """Return an error as an event in the midst of a stream."""
        _, body = self.error(refusal)
        return sse.event(body.decode(), "error" if self.name == "anthropic" else None)


# --- OpenAI ------------------------------------------------------------------------------------


def _openai_usage(answer: Any) -> Usage | None:
    usage = answer.get("usage") if isinstance(answer, dict) else None
    if usage is None and isinstance(answer, dict) and isinstance(answer.get("response"), dict):
        usage = answer["response"].get("usage")  # an event of the Responses API
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    given = _count(usage, "prompt_tokens") or _count(usage, "input_tokens")
    return Usage(
        input=given,
        output=_count(usage, "completion_tokens") or _count(usage, "output_tokens"),
        cache_read=min(given, _count(details, "cached_tokens")),
    )


def _count(usage: Any, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


OPENAI = Wire(
    name="openai",
    auth=lambda key: {"authorization": f"Bearer {key}"},
    passed=frozenset({"openai-beta"}),
    errors={
        "invalid": (400, "invalid_request_error", None),
        "key": (401, "invalid_request_error", "invalid_api_key"),
        "forbidden": (403, "invalid_request_error", "unsupported_value"),
        "not found": (404, "invalid_request_error", "model_not_found"),
        "too large": (413, "invalid_request_error", None),
        "budget": (429, "insufficient_quota", "insufficient_quota"),
        "rate": (429, "requests", "rate_limit_exceeded"),
        "upstream": (502, "server_error", None),
        "replay": (409, "invalid_request_error", "not_recorded"),
    },
    usage=_openai_usage,
)


# --- Anthropic ---------------------------------------------------------------------------------


def _anthropic_usage(answer: Any) -> Usage | None:
    if not isinstance(answer, dict):
        return None
    message = answer.get("message")
    usage = answer.get("usage") or (message.get("usage") if isinstance(message, dict) else None)
    if not isinstance(usage, dict):
        return None
    read = _count(usage, "cache_read_input_tokens")
    written = _count(usage, "cache_creation_input_tokens")
    return Usage(
        input=_count(usage, "input_tokens") + read + written,
        output=_count(usage, "output_tokens"),
        cache_read=read,
        cache_written=written,
    )


ANTHROPIC = Wire(
    name="anthropic",
    auth=lambda key: {"x-api-key": key},
    passed=frozenset({"anthropic-version", "anthropic-beta"}),
    errors={
        "invalid": (400, "invalid_request_error", None),
        "key": (401, "authentication_error", None),
        "forbidden": (403, "permission_error", None),
        "not found": (404, "not_found_error", None),
        "too large": (413, "request_too_large", None),
        "budget": (402, "billing_error", None),
        "rate": (429, "rate_limit_error", None),
        "upstream": (502, "api_error", None),
        "replay": (409, "invalid_request_error", None),
    },
    usage=_anthropic_usage,
)

OPERATIONS: Mapping[str, Operation] = {
    operation.path: operation
    for operation in (
        Operation("chat", "/v1/chat/completions", OPENAI),
        Operation("completions", "/v1/completions", OPENAI),
        Operation("responses", "/v1/responses", OPENAI),
        Operation("embeddings", "/v1/embeddings", OPENAI, streams=False),
        Operation("messages", "/v1/messages", ANTHROPIC),
        Operation(
            "count tokens", "/v1/messages/count_tokens", ANTHROPIC, streams=False, measured=False
        ),
    )
}


def merged(first: Usage | None, second: Usage | None) -> Usage | None:
    """Return what two events of a stream say together: later numbers replace earlier ones."""
    if first is None or second is None:
        return first or second
    return Usage(
        input=max(first.input, second.input),
        output=max(first.output, second.output),
        cache_read=max(first.cache_read, second.cache_read),
        cache_written=max(first.cache_written, second.cache_written),
    )


def guess(request_bytes: int, answer_bytes: int, events: int = 0) -> Usage:
    """Return a guess where an upstream counts no tokens, or was cut off before it did."""
    output = events or answer_bytes // CHARACTERS_A_TOKEN
    return Usage(input=request_bytes // CHARACTERS_A_TOKEN, output=output, estimated=True)
