"""`image`: build, list and remove the images that trials run in."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.cli import console
from tasks.cli.options import AgentsDir, Json, group
from tasks.errors import InvalidInput, UsageError, suggestion

if TYPE_CHECKING:
    from tasks.images import Image

Engine = Annotated[
    str | None, typer.Option("--engine", help="docker (default, or $AEXP_DOCKER) or podman.")
]

app = group("Build, list and remove images.")


@app.command()
def build(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME …]", help="env, experiment, or an agent with a Dockerfile."),
    ] = None,
    *,
    base: Annotated[
        str | None, typer.Option("--base", help="What env starts from, instead of Debian.")
    ] = None,
    ca_bundle: Annotated[
        Path | None,
        typer.Option(
            "--ca-bundle", help="Certificates of a proxy, used in the build and not kept."
        ),
    ] = None,
    host_ca: Annotated[
        bool, typer.Option("--host-ca", help="As --ca-bundle with the file in $SSL_CERT_FILE.")
    ] = False,
    heavy: Annotated[
        bool, typer.Option("--heavy", help="With torch, transformers, boosting and more in env.")
    ] = False,
    index_url: Annotated[
        str | None, typer.Option("--index-url", help="An index of your own; not kept.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Build every layer again.")] = False,
    agents_dir: AgentsDir = None,
    engine: Engine = None,
) -> None:
    """Build images; by default env and experiment, in this order."""
    from tasks import images

    bundle = _bundle(ca_bundle, host=host_ca)
    arguments = {
        "BASE_IMAGE": base,
        "INSTALL_HEAVY_DEPENDENCIES": "true" if heavy else None,
        "PIP_INDEX_URL": index_url,
    }
    for name in names or ("env", "experiment"):
        image = _image(name, agents_dir)
        console.say(f"building {', '.join(image.tags)} from {image.dockerfile}")
        given = {key: value for key, value in arguments.items() if value is not None}
        seconds = images.build(
            image, given, ca_bundle=bundle, program=engine, no_cache=no_cache, on_line=console.say
        )
        console.out(f"{image.tags[0]}: built in {seconds:.1f} s")


def _image(name: str, agents_dir: Path | None) -> "Image":
    from tasks import images

    known = images.known(agents_dir)
    if name not in known:
        raise UsageError(f"no image {name!r}{suggestion(name, known)}")
    return known[name]


def _bundle(file: Path | None, *, host: bool) -> bytes | None:
    if host and file is None:
        if "SSL_CERT_FILE" not in os.environ:
            raise UsageError("--host-ca: SSL_CERT_FILE is not set; use --ca-bundle FILE")
        file = Path(os.environ["SSL_CERT_FILE"])
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read: {error.strerror}") from error
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise InvalidInput(f"{file}: holds no certificate in PEM form")
    return content


@app.command("list")
def list_images(
    *,
    agents_dir: AgentsDir = None,
    engine: Engine = None,
    json_: Json = False,
) -> None:
    """List the images that can be built, and which are."""
    from tasks import images

    built = images.built(engine)
    rows = []
    for name, image in images.known(agents_dir).items():
        size = built.get(image.tags[0])
        rows.append((name, image.tags[0], size or "not built", str(image.dockerfile)))
    if json_:
        keys = ("name", "tag", "size", "dockerfile")
        console.out_json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        console.table(("NAME", "TAG", "SIZE", "DOCKERFILE"), rows)


@app.command()
def prune(
    *,
    agents_dir: AgentsDir = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the images themselves, not only what is unused.")
    ] = False,
    engine: Engine = None,
) -> None:
    """Remove containers of dead runs and layers of ours that no tag holds."""
    from tasks import images

    for line in images.prune(images.known(agents_dir).values() if everything else (), engine):
        console.out(line)
