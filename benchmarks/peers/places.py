"""Where peers live: below a cache folder, each in an environment; Docker Compose 2 if it lacks."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

COMPOSE_FROM = "trixie"
MISSING = 5
"""The exit status of a runtime or part that is not there."""
APT_SOURCE = """Types: deb
URIs: {mirror}
Suites: {suite}
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def fail(line: str) -> NoReturn:
    """End with one line, as of something that is missing."""
    print(f"benchmarks.peers: {line}", file=sys.stderr)
    raise SystemExit(MISSING)


def environment(cache: Path, package: str, python: str = sys.executable) -> Path:
    """Return the folder of the programs of an environment that holds a package, `name==version`."""
    folder = cache / package.replace("==", "-")
    whole = folder / ".installed"
    if not whole.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", package]
        subprocess.run(install, check=True)
        whole.touch()
    return folder / "bin"


def newer_python(given: str | None) -> str:
    """Return a Python that Harbor takes, which is 3.12 or newer: one given, or one on PATH."""
    probe = "import sys; sys.exit(sys.version_info < (3, 12))"
    for name in [given] if given else ["python3.12", "python3.13", "python3.14", "python3"]:
        found = shutil.which(name)
        # What version managers leave on PATH may be there and not start.
        if found and not subprocess.run([found, "-c", probe], check=False,
                                        capture_output=True).returncode:  # fmt: skip
            return found
    what = f"{given} is none" if given else "there is none on PATH"
    return fail(f"Harbor needs Python 3.12 or newer, and {what}: name one by --python")


def docker_tools(cache: Path) -> dict[str, str]:
    """Return the environment in which `docker compose` works, also with another home."""
    if not subprocess.run(["docker", "compose", "version"], check=False,
                          capture_output=True).returncode:  # fmt: skip
        own = os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker"
        return {"DOCKER_CONFIG": str(own)}
    folder = cache / f"docker-{COMPOSE_FROM}"
    if not folder.exists():
        if not shutil.which("apt-get"):
            fail("Harbor and Inspect need Docker Compose 2, `docker compose version` fails: "
                 "install it")  # fmt: skip
        with tempfile.TemporaryDirectory() as scratch:
            _fetch_docker_tools(Path(scratch), folder)
    return {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def _fetch_docker_tools(scratch: Path, folder: Path) -> None:
    """Unpack a newer client and Compose from Debian's packages; the system is left as it is."""
    (scratch / "sources").mkdir()
    for name in ("lists", "cache/archives"):
        (scratch / name / "partial").mkdir(parents=True)
    source = APT_SOURCE.format(mirror=_mirror(), suite=COMPOSE_FROM)
    (scratch / "sources" / "newer.sources").write_text(source)
    settings = {
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": scratch / "sources",
        "Dir::State::lists": scratch / "lists",
        "Dir::Cache": scratch / "cache",
        "APT::Sandbox::User": "root",  # apt's own user may not look into our folder
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    for words in (["update"], ["download", "docker-cli", "docker-compose"]):
        subprocess.run([*apt, *words], cwd=scratch, check=True)
    for package in scratch.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, scratch / "root"], check=True)
    made = scratch / "made"
    (made / "cli-plugins").mkdir(parents=True)
    plugin = Path("cli-plugins/docker-compose")
    shutil.copy(scratch / "root/usr/bin/docker", made / "docker")
    shutil.copy(scratch / "root/usr/libexec/docker" / plugin, made / plugin)
    shutil.copytree(made, folder)


def _mirror() -> str:
    """Return the address that this machine has Debian's packages from."""
    asked = ["Origin: Debian", "Component: main", "Identifier: Packages"]
    told = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", *asked],
                          check=True, capture_output=True, text=True)  # fmt: skip
    return told.stdout.split()[0] if told.stdout else fail("apt has no lists: apt-get update")


def engine_version() -> tuple[int, int]:
    """Return the version of the Docker daemon."""
    told = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], check=False,
                          capture_output=True, text=True)  # fmt: skip
    if told.returncode:
        fail(f"Docker does not answer: {told.stderr.strip()}")
    major, minor = told.stdout.split(".")[:2]
    return int(major), int(minor)
