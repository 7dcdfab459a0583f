"""Images: what can be built from a checkout, and building it, also behind a proxy of one's own."""

import io
import re
import secrets
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, Final

from tasks import agents
from tasks.errors import InfrastructureError
from tasks.runtimes import certificates
from tasks.runtimes.engine import Engine
from tasks.scratch import scratch

BUNDLE: Final = "ca-bundle.crt"
DOCKERFILE: Final = ".aexp.Dockerfile"
LONG_S: Final = 1800.0
"""What saving, loading or removing an image may take."""
LABEL: Final = "aexp.image"
TAIL_LINES: Final = 12
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"

ROOT: Final = Path(__file__).resolve().parent.parent
"""The checkout; an installed package has no Dockerfiles of its own."""

_NEVER_SENT: Final = frozenset({".git", ".venv", "__pycache__", "runs", BUNDLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image that can be built."""

    tags: tuple[str, ...]
    dockerfile: Path
    context: Path
    sent: tuple[str, ...] = (".",)
    """What of the context is sent to the engine."""
    bundle: str = BUNDLE
    """Where in the context its first stage looks for certificates."""


def known(agents_dir: Path | None = None) -> dict[str, Image]:
    """Return the images of this checkout, and of the agents that have a Dockerfile."""
    found = {}
    environment = ROOT / "environment" / "Dockerfile"
    if environment.is_file():
        found["env"] = Image(
            tags=("mlebench-env",),
            dockerfile=environment,
            context=ROOT,
            sent=("environment", "tasks/runtimes/inside"),
            bundle=f"environment/{BUNDLE}",
        )
    for folder in (agents.SHIPPED, *([agents_dir] if agents_dir else [])):
        for dockerfile in sorted(folder.glob("*/Dockerfile")):
            found[dockerfile.parent.name] = _agent_image(dockerfile)
    return found


def _agent_image(dockerfile: Path) -> Image:
    """Return an agent's image: as in MLE-bench, named after the folder and built from it."""
    folder = dockerfile.parent
    text = dockerfile.read_text(encoding="utf-8", errors="replace")
    ours = folder.resolve() == (agents.SHIPPED / "experiment").resolve()
    if re.search(r"^COPY\s+tasks\s", text, re.MULTILINE):
        sent = ("tasks", f"agents/{folder.name}")
        return Image(tags=(folder.name,), dockerfile=dockerfile, context=ROOT, sent=sent)
    return Image(
        tags=("mlebench-experiment", "experiment") if ours else (folder.name,),
        dockerfile=dockerfile,
        context=folder,
    )


def build(
    image: Image,
    arguments: Mapping[str, str],
    *,
    ca_bundle: bytes | None = None,
    program: str | None = None,
    no_cache: bool = False,
    on_line: Callable[[str], None] | None = None,
) -> float:
    """Build an image and tag it; return the seconds it took.

    Args:
        image: What to build.
        arguments: Build arguments; those its Dockerfile does not declare are left out.
        ca_bundle: Certificates for the first stage; they are not in the image.
        program: The engine's command; by default $AEXP_DOCKER, or `docker`.
        no_cache: Whether to build every layer again.
        on_line: Gets each line of the engine's log.

    Raises:
        MissingPart: There is no engine.
        InfrastructureError: The build failed; the message holds the end of its log.
    """
    engine = Engine(program)
    text = image.dockerfile.read_text(encoding="utf-8")
    declared = set(re.findall(r"^\s*ARG\s+(\w+)", text, re.MULTILINE))
    options = ["--no-cache"] if no_cache else []
    for key, value in arguments.items():
        options += ["--build-arg", f"{key}={value}"] if key in declared else []
    build_ = _Build(engine, image, text, options, on_line)
    started = monotonic()
    if ca_bundle is None or BUNDLE in text:
        build_.run(image.tags, text, ca_bundle)
    else:
        build_.run_trusting(ca_bundle)
    return monotonic() - started


@dataclass(frozen=True, slots=True)
class _Build:
    """One build, of one or several steps."""

    engine: Engine
    image: Image
    text: str
    options: list[str]
    on_line: Callable[[str], None] | None

    def run(self, tags: Sequence[str], text: str, ca_bundle: bytes | None) -> None:
        """Build a Dockerfile in the context of the image."""
        words = [self.engine.program, "build", "--file", DOCKERFILE, "--label", f"{LABEL}=yes"]
        words += ["--force-rm", *(word for tag in tags for word in ("--tag", tag)), *self.options]
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        with tempfile.TemporaryFile() as context:
            _pack(self.image, text, ca_bundle, context)
            context.seek(0)
            status = self.engine.follow(
                [*words, "-"], context, lambda line: _told(line, tail, self.on_line)
            )
        if status != 0:
            end = " | ".join(tail)
            hint = " (a proxy? --host-ca or --ca-bundle)" if _UNTRUSTED in end else ""
            raise InfrastructureError(f"{self.image.tags[0]}: the build failed{hint}: {end}")

    def run_trusting(self, ca_bundle: bytes) -> None:
        """Build on a parent that trusts the certificates, and cut them out of the result."""
        parent = certificates.parent_of(self.text)
        self.engine.need_image(parent)
        mark = secrets.token_hex(4)
        trusting, uncut = f"aexp-trusting-{mark}", f"aexp-uncut-{mark}"
        try:
            self.run([trusting], certificates.trusting(parent, self.image.bundle), ca_bundle)
            self.run([uncut], certificates.on_parent(self.text, trusting), None)
            self._cut(uncut)
        finally:
            self.engine.ask("image", "rm", "--force", uncut, trusting, patience_s=LONG_S)

    def _cut(self, uncut: str) -> None:
        with scratch("image") as folder:
            saved, loaded = folder / "saved.tar", folder / "loaded.tar"
            self.engine.answer("save", "--output", str(saved), uncut, patience_s=LONG_S)
            with saved.open("rb") as source, loaded.open("wb") as target:
                certificates.cut(source, target, self.image.tags)
            self.engine.answer("load", "--input", str(loaded), patience_s=LONG_S)


def _told(line: str, tail: deque[str], on_line: Callable[[str], None] | None) -> None:
    line = _COLOURS.sub("", line)
    if line:
        tail.append(line)
        if on_line is not None:
            on_line(line)


def _pack(image: Image, text: str, ca_bundle: bytes | None, target: IO[bytes]) -> None:
    """Write the build context as a tar archive; no bundle but the one given is in it."""
    # A first header of the PAX format is not recognised as an archive by docker.
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in image.sent:
            archive.add(image.context / name, arcname=name, filter=_sent)
        extra = {DOCKERFILE: text.encode()} | (
            {} if ca_bundle is None else {image.bundle: ca_bundle}
        )
        for name, content in extra.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _sent(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if not _NEVER_SENT.isdisjoint(Path(member.name).parts):
        return None
    # The same files make the same layers, whoever checked them out and when.
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def built(program: str | None = None) -> dict[str, str]:
    """Return the sizes of the images that are there, by tag."""
    listing = Engine(program).answer(
        "image", "ls", "--format", "{{.Repository}}:{{.Tag}}\t{{.Size}}"
    )
    found = {}
    for line in listing.splitlines():
        tag, _, size = line.partition("\t")
        found[tag.removesuffix(":latest").removeprefix("localhost/")] = size
    return found


def prune(images: Iterable[Image], program: str | None = None) -> list[str]:
    """Remove containers of dead runs, untagged layers of ours, and the images given.

    Returns:
        What was removed, a line each.
    """
    engine = Engine(program)
    removed = [f"container {name}" for name in engine.reap()]
    for image in images:
        for tag in image.tags:
            removed += [f"image {tag}"] if engine.ask("image", "rm", tag).returncode == 0 else []
    unused = engine.answer("image", "prune", "--force", "--filter", f"label={LABEL}=yes")
    return removed + [line for line in unused.splitlines() if line.startswith("Total")]
