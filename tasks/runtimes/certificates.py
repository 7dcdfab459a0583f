"""Certificates for the build of an image that leaves no place for them, cut out of it afterwards.

`FROM mlebench-experiment` and `RUN conda run -n agent pip install …` are one stage. Such an image
is built on a parent that has the certificates in a layer of its own; that layer, and the variables
that point to it, are left out when the image is saved and loaded again.
"""

import io
import json
import re
import tarfile
from collections.abc import Sequence
from typing import IO, Any, Final

from tasks.errors import InfrastructureError, InvalidInput

FOLDER: Final = "/.aexp-certificates"
VARIABLES: Final = (
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
)

_FROM = re.compile(r"^(\s*FROM\s+)(\S+)(.*)$", re.IGNORECASE | re.MULTILINE)


def parent_of(dockerfile: str) -> str:
    """Return the image that a Dockerfile of one stage starts from.

    Raises:
        InvalidInput: It has several stages, or none.
    """
    found = _FROM.findall(dockerfile)
    if len(found) != 1:
        raise InvalidInput(
            f"--ca-bundle: a Dockerfile of {len(found)} stages must use the certificates itself: "
            "copy ca-bundle.crt in its first stage, as agents/experiment/Dockerfile does"
        )
    return str(found[0][1])


def on_parent(dockerfile: str, parent: str) -> str:
    """Return the Dockerfile on another parent."""
    return _FROM.sub(lambda found: f"{found[1]}{parent}{found[3]}", dockerfile)


def trusting(parent: str, name: str) -> str:
    """Return the Dockerfile of a parent that trusts the certificates in the file `name`."""
    variables = " ".join(f"{variable}={FOLDER}/{name}" for variable in VARIABLES)
    return f"FROM {parent}\nCOPY {name} {FOLDER}/{name}\nENV {variables}\n"


def cut(source: IO[bytes], target: IO[bytes], tags: Sequence[str]) -> None:
    """Copy a saved image without the layer and the variables of the certificates.

    Raises:
        InfrastructureError: The image does not look as engines save them.
    """
    with (
        tarfile.open(fileobj=source) as saved,
        tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as written,
    ):
        try:
            (manifest,) = json.loads(_read(saved, "manifest.json"))
            config = json.loads(_read(saved, manifest["Config"]))
            layers = _without(config, manifest["Layers"])
            config["config"]["Env"] = [
                variable for variable in config["config"]["Env"] or () if FOLDER not in variable
            ]
        except (KeyError, ValueError, StopIteration) as error:
            raise InfrastructureError(f"the saved image cannot be read: {error!r}") from error
        config.pop("container_config", None)  # of the last step of a build, variables and all
        names = {layer: f"layer-{number}.tar" for number, layer in enumerate(layers)}
        new = {
            "Config": "config.json",
            "RepoTags": [tag if ":" in tag else f"{tag}:latest" for tag in tags],
            "Layers": list(names.values()),
        }
        _write(written, "manifest.json", json.dumps([new]).encode())
        _write(written, "config.json", json.dumps(config).encode())
        for layer, name in names.items():
            _copy(saved, layer, written, name)


def _without(config: dict[str, Any], layers: Sequence[str]) -> list[str]:
    """Take the certificates out of an image's history; return the layers that are left."""
    pairs = iter(zip(layers, config["rootfs"]["diff_ids"], strict=True))
    history, kept = [], []
    for step in config["history"]:
        ours = FOLDER in step.get("created_by", "")
        pair = None if step.get("empty_layer") else next(pairs)
        if not ours:
            history.append(step)
            kept += [] if pair is None else [pair]
    config["history"] = history
    config["rootfs"]["diff_ids"] = [identity for _, identity in kept]
    return [layer for layer, _ in kept]


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()


def _write(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _copy(saved: tarfile.TarFile, layer: str, written: tarfile.TarFile, name: str) -> None:
    """Copy a layer; the same one may be saved once, with links to it."""
    file = saved.extractfile(layer)
    if file is None:
        raise InfrastructureError(f"the saved image lacks its layer {layer}")
    member = tarfile.TarInfo(name)
    member.size = file.seek(0, io.SEEK_END)
    file.seek(0)
    written.addfile(member, file)
