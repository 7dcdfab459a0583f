"""A model's server for tests: it answers as it is told, and remembers what it was asked."""

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def chat(text="hello", usage=USAGE):
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return {"id": "c", "object": "chat.completion", "choices": choices, "usage": usage}


def chat_events(text="hello", usage=USAGE):
    """The events of a streamed answer, one a letter, the count of tokens and the end."""
    pieces = [
        {"choices": [{"index": 0, "delta": {"content": letter}, "finish_reason": None}]}
        for letter in text
    ]
    counted = [{"choices": [], "usage": usage}] if usage else []
    events = [json.dumps(piece) for piece in [*pieces, *counted]]
    return [f"data: {event}\n\n".encode() for event in [*events, "[DONE]"]]


def message(text="hello"):
    return {
        "type": "message",
        "content": [{"type": "text", "text": text}],
        "usage": {
            "input_tokens": 5,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 2,
            "output_tokens": 7,
        },
    }


def message_events(text="hello"):
    begin = {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}
    piece = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}
    end = {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}}
    parts = [begin, piece, end, {"type": "message_stop"}]
    return [f"event: {p['type']}\ndata: {json.dumps(p)}\n\n".encode() for p in parts]


@dataclass
class Asked:
    path: str
    headers: dict
    body: dict | None


@dataclass
class FakeUpstream:
    """`answer(handler, asked)` writes the answer; by default a chat completion."""

    answer: object = None
    asked: list = field(default_factory=list)

    def __enter__(self):
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                told = Asked(self.path, dict(self.headers), json.loads(body))
                fake.asked.append(told)
                (fake.answer or usual)(self, told)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/v1"


def usual(handler, asked):
    stream = asked.body.get("stream")
    if asked.path.endswith("/messages"):
        events(handler, message_events()) if stream else whole(handler, message())
    elif stream:
        events(handler, chat_events())
    else:
        whole(handler, chat())


def whole(handler, payload, status=200, headers=None):
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(data)))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


def events(handler, parts, *, cut=False):
    """Send events as a stream in chunks; cut off, the end of the chunks does not come."""
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for part in parts:
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        handler.wfile.flush()
    if cut:
        handler.close_connection = True
        handler.connection.close()
        return
    handler.wfile.write(b"0\r\n\r\n")
