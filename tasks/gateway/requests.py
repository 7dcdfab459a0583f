"""What an agent asks of a model: read strictly, with every way out but the model itself refused."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import brief, suggestion
from tasks.gateway.wires import Operation, Refusal

_CLIENT_TOOLS = {
    "openai": ("function", "custom", "local_shell", "apply_patch"),
    "anthropic": ("custom", "bash_", "text_editor_", "computer_", "memory_"),
}
"""Kinds of tools that the agent runs itself; an `_` at the end stands for any version."""

_HOSTED = {
    "background": "answers later, uncounted",
    "container": "runs code at the provider",
    "conversation": "keeps state at the provider",
    "mcp_servers": "lets the provider call other servers",
    "plugins": "lets the provider call other services",
    "previous_response_id": "keeps state at the provider",
    "prompt": "is kept at the provider",
    "web_search_options": "searches the web",
}
"""Keys that make more of a call than words in and words out."""

_DEPTH = 100
_LINKS = ("image_url", "file_url", "audio_url", "video_url", "url", "file_id")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may go upstream."""

    operation: Operation
    model: str
    """As the agent calls it."""
    body: dict[str, Any]
    """As it goes upstream, the model's name there included."""
    stream: bool
    adds_usage: bool
    """Whether the count at the end of a stream was asked for by us, and is not for the agent."""
    most_output: int
    """Tokens the agent allows; 0 where it does not say."""

    def encoded(self) -> bytes:
        """Return the body as bytes; written anew, as a doubled key could be read in two ways."""
        return json.dumps(self.body, separators=(",", ":")).encode()


def parse(
    operation: Operation, raw: bytes, models: Mapping[str, str], *, hosted: bool = False
) -> Asked:
    """Read the body of a request.

    Args:
        operation: What is asked for.
        raw: The body.
        models: Names the agent may use, to names the upstream knows; empty for any.
        hosted: Whether tools that the provider runs, links it fetches and state it keeps may pass.

    Raises:
        Refusal: It is no request, its model is not allowed, or it leads further than to a model.
    """
    body = _object(raw)
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal("invalid", "the request names no model")
    if models and model not in models:
        hint = suggestion(model, models)
        raise Refusal("not found", f"no model {brief(model)} for this agent{hint}")
    if not hosted:
        _refuse_hosted(operation, body)
    stream = body.get("stream", False)
    if not isinstance(stream, bool):
        raise Refusal("invalid", "stream must be true or false")
    if stream and not operation.streams:
        raise Refusal("invalid", f"{operation.path} cannot be streamed")
    sent = {**body, "model": models.get(model, model)}
    adds = False
    if stream and operation.name in {"chat", "completions"}:
        options = body.get("stream_options") or {}
        if not isinstance(options, dict):
            raise Refusal("invalid", "stream_options must be an object")
        adds = not options.get("include_usage")
        sent["stream_options"] = {**options, "include_usage": True}
    return Asked(operation, model, sent, stream, adds, _most_output(body))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw, parse_constant=_no_number)
    except RecursionError as error:
        raise Refusal("invalid", "the request is nested too deeply") from error
    except ValueError as error:  # also a number of more digits than Python reads
        raise Refusal("invalid", "the request is no JSON") from error
    if not isinstance(body, dict):
        raise Refusal("invalid", "the request is no JSON object")
    return body


def _no_number(word: str) -> Any:
    raise ValueError(word)


def _most_output(body: Mapping[str, Any]) -> int:
    given = [body.get(k) for k in ("max_completion_tokens", "max_output_tokens", "max_tokens")]
    return max((n for n in given if isinstance(n, int) and not isinstance(n, bool)), default=0)


def _refuse_hosted(operation: Operation, body: Mapping[str, Any]) -> None:
    for key, why in _HOSTED.items():
        if body.get(key):
            raise Refusal("forbidden", f"{key} {why}; this door leads to a model only")
    tools = body.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        kind = tool.get("type", "custom") if isinstance(tool, dict) else "custom"
        if not _runs_here(str(kind), _CLIENT_TOOLS[operation.wire.name]):
            message = f"the tool {brief(kind)} is run by the provider; this door leads to a model"
            raise Refusal("forbidden", message)
    for key in ("messages", "input", "system"):
        for link in _links(body.get(key)):
            raise Refusal(
                "forbidden", f"{brief(link)} would be fetched by the provider; send data: URLs"
            )


def _runs_here(kind: str, known: tuple[str, ...]) -> bool:
    return any(kind == name or (name.endswith("_") and kind.startswith(name)) for name in known)


def _links(value: Any) -> Iterator[str]:
    """Give what a provider would fetch: links and files within the parts of messages."""
    todo = [(value, 0)]
    while todo:
        item, depth = todo.pop()
        if depth > _DEPTH:
            raise Refusal("invalid", "the request is nested too deeply")
        if isinstance(item, list):
            todo.extend((inner, depth + 1) for inner in item)
        elif isinstance(item, dict):
            for key, inner in item.items():
                if key in _LINKS and isinstance(inner, str) and not inner.startswith("data:"):
                    yield inner
                elif key != "input" or isinstance(inner, list):  # else: what a tool was called with
                    todo.append((inner, depth + 1))
