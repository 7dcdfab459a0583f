"""`python -m benchmarks.door`: what the door adds to a model's answers."""

import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from tasks.gateway import Gateway, Setup, Upstream, forwarder
from tasks.gateway.policy import Policy

STREAMS = 50
EVENTS, EVERY_S = 25, 0.02
CALLS = 4000
ANSWER = json.dumps(
    {
        "choices": [{"message": {"role": "assistant", "content": "x" * 200}}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 50},
    }
).encode()
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(ANSWER),
    ANSWER,
)
BEGIN = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Null(asyncio.Protocol):
    """An upstream that answers at once, or streams events that carry the time they were sent."""

    def connection_made(self, transport):
        self.transport = transport
        self.data = b""

    def data_received(self, data):
        self.data += data
        while b"\r\n\r\n" in self.data:
            head, _, rest = self.data.partition(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            if len(rest) < length:
                return
            body, self.data = rest[:length], rest[length:]
            if b'"stream":true' in body.replace(b" ", b""):
                self.stream = asyncio.ensure_future(self.events())
            else:
                self.transport.write(WHOLE)

    async def events(self):
        self.transport.write(BEGIN)
        for number in range(EVENTS):
            piece = {"choices": [{"delta": {"content": str(number)}}], "sent": time.monotonic()}
            self.transport.write(chunk(b"data: %b\n\n" % json.dumps(piece).encode()))
            await asyncio.sleep(EVERY_S)
        self.transport.write(chunk(b"data: [DONE]\n\n") + chunk(b""))


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def null_upstream():
    async def serve():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Null, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(serve())


def door(upstream_port):
    """Serve as the runner's thread does, on a unix socket, with calls recorded."""
    upstream = Upstream.parse(f"http://127.0.0.1:{upstream_port}/v1", "key")
    policy = Policy(concurrency=64)
    from pathlib import Path
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        setup = Setup(
            upstreams={"openai": upstream},
            token="token",
            ledger=Path(folder) / "calls",
            policy=policy,
        )
        with Gateway(setup) as gateway:
            print(gateway.start_unix(), flush=True)
            sys.stdin.read()


@dataclass
class Target:
    address: str | int

    async def connect(self):
        if isinstance(self.address, int):
            return await asyncio.open_connection("127.0.0.1", self.address)
        return await asyncio.open_unix_connection(self.address)


def request(*, stream):
    messages = [{"role": "user", "content": "y" * 1000}]
    body = json.dumps({"model": "m", "messages": messages, "stream": stream}).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer token\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )


async def calls(target, count, at_once):
    """Return the seconds of each call, and of all."""
    sent, times = request(stream=False), []

    async def client(number):
        reader, writer = await target.connect()
        for _ in range(number):
            begin = time.perf_counter()
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head, head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(time.perf_counter() - begin)
        writer.close()

    begin = time.perf_counter()
    await asyncio.gather(*(client(count // at_once) for _ in range(at_once)))
    return times, time.perf_counter() - begin


async def streams(target, at_once):
    """Return how late events are: the first ones, and all."""
    firsts, late = [], []

    async def client():
        reader, writer = await target.connect()
        writer.write(request(stream=True))
        await reader.readuntil(b"\r\n\r\n")
        number = 0
        while (line := await reader.readline()) != b"0\r\n":
            if line.startswith(b"data: {"):
                delay = time.monotonic() - json.loads(line[6:])["sent"]
                (firsts if number == 0 else late).append(delay)
                number += 1
        writer.close()

    await asyncio.gather(*(client() for _ in range(at_once)))
    return firsts, late


def p99(values):
    return statistics.quantiles(values, n=100)[98]


def child(*arguments):
    return started(sys.executable, "-m", "benchmarks.door", *arguments)


def started(*command):
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def figures():
    upstream, port = child("upstream")
    served, socket = child("door", port)
    tells = ["sh", "-c", 'echo "$AEXP_DOOR"; exec cat']
    words = [sys.executable, "-I", "-S", forwarder.__file__, socket, "0", "--", *tells]
    inside, address = started(*words)
    targets = {
        "direct": Target(int(port)),
        "door": Target(socket),
        "with forwarder": Target(int(address.rpartition(":")[2])),
    }
    try:
        for name, target in targets.items():
            asyncio.run(calls(target, 500, 10))
            times, whole = asyncio.run(calls(target, CALLS, 50))
            alone, _ = asyncio.run(calls(target, 500, 1))
            first_alone = [asyncio.run(streams(target, 1))[0][0] for _ in range(20)]
            firsts, late = asyncio.run(streams(target, STREAMS))
            yield (
                name,
                {
                    "requests/s, 50 at once": CALLS / whole,
                    "one call alone, median ms": 1000 * statistics.median(alone),
                    "50 at once, median ms": 1000 * statistics.median(times),
                    "first event alone, median ms": 1000 * statistics.median(first_alone),
                    "first event of 50 streams, median ms": 1000 * statistics.median(firsts),
                    "event of 50 streams, median ms": 1000 * statistics.median(late),
                    "event of 50 streams, p99 ms": 1000 * p99(late),
                },
            )
    finally:
        for process in (inside, served, upstream):
            process.kill()
            process.wait()


def main():
    words = sys.argv[1:]
    if words[:1] == ["upstream"]:
        null_upstream()
    elif words[:1] == ["door"]:
        door(words[1])
    else:
        found = dict(figures())
        print(f"{platform.python_implementation()} {platform.python_version()}, "
              f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
        for name in found["direct"]:
            direct = found["direct"][name]
            print(f"{name:38} direct {direct:9.2f}", *(
                f"  {way} {found[way][name]:9.2f} ({found[way][name] - direct:+.2f})"
                for way in ("door", "with forwarder")
            ))  # fmt: skip


if __name__ == "__main__":
    main()
