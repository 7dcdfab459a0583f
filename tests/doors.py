"""A door with a fake upstream behind it, and a client in front of it, for tests."""

import http.client
import json
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from tasks.gateway import Gateway, Policy, Prices, Setup, Upstream
from tests.upstream import FakeUpstream

KEY = "sk-upstream-SECRET-0123456789"
CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
EMBEDDINGS = "/v1/embeddings"
RESPONSES = "/v1/responses"
PRICED = Prices({"m": {"input_cost_per_token": 0.001, "output_cost_per_token": 0.01}})


@dataclass
class Got:
    status: int
    fields: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def said(self):
        return self.json["error"]["message"]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("door", timeout=100)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@dataclass
class Client:
    gateway: Gateway
    upstream: FakeUpstream | None
    connections: list = field(default_factory=list)

    @property
    def token(self):
        return self.gateway.setup.token

    def connect(self):
        connection = UnixConnection(self.gateway.socket)
        self.connections.append(connection)
        return connection

    def send(self, method, path, body=None, fields=None, *, token=None):
        connection = self.connect()
        known = {"authorization": f"Bearer {self.token if token is None else token}"}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, data, {**known, **(fields or {})})
            with connection.getresponse() as answer:
                return Got(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def ask(self, path=CHAT, **body):
        return self.send("POST", path, {"model": "m", "messages": [], **body})

    def raw(self, data, *, until=b""):
        """Send bytes as they are; return all that comes until the door hangs up."""
        with socket.socket(socket.AF_UNIX) as end:
            end.settimeout(20)
            end.connect(str(self.gateway.socket))
            end.sendall(data)
            found = b""
            while not (until and until in found):
                piece = end.recv(65536)
                if not piece:
                    break
                found += piece
            return found


@contextmanager
def opened(answer=None, *, setup=None, upstream=True, **policy):
    """Open a door; `answer` is the upstream's, `policy` its rules."""
    with ExitStack() as stack:
        fake = stack.enter_context(FakeUpstream(answer)) if upstream else None
        known = {}
        if fake is not None:
            there = Upstream.parse(fake.url, KEY)
            known = {"openai": there, "anthropic": there}
        made = replace(setup or Setup(), policy=Policy(**policy))
        if not made.upstreams:
            made = replace(made, upstreams=known)
        gateway = stack.enter_context(Gateway(made))
        gateway.start_unix()
        client = Client(gateway, fake)
        yield client
        for connection in client.connections:
            connection.close()
