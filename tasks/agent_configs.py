"""The `config.yaml` files of a folder of agents, as YAML; strangers may have written them."""

import math
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import InvalidInput

CONFIG_BYTES = 2**16

_UNREADABLE = (
    OSError,
    yaml.YAMLError,
    RecursionError,
    # What PyYAML lets through of values that do not fit their tags: `!!bool x`, `2024-99-99`.
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


def entries_below(root: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return every entry by id; helper maps such as `vars`, which start nothing, are left out.

    Raises:
        InvalidInput: There is no such folder, or a config cannot be read.
    """
    if not root.is_dir():
        raise InvalidInput(f"{root}: no such folder of agents")
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for config in sorted(root.rglob("config.yaml")):
        for name, entry in _read(config).items():
            if isinstance(entry, dict) and "start" in entry:
                found.setdefault(str(name), (config, entry))
    return found


def _read(config: Path) -> dict[Any, Any]:
    try:
        if not config.is_file():
            raise InvalidInput(f"{config}: not a regular file")
        if config.stat().st_size > CONFIG_BYTES:
            raise InvalidInput(f"{config}: larger than 64 KiB; an agent's config is a few lines")
        content = _parsed(config.read_text(encoding="utf-8"))
    except _UNREADABLE as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(f"{config}: cannot be read: {first}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InvalidInput(f"{config}: must map agent ids to entries, not hold a list or a word")
    return content


def _parsed(text: str) -> Any:
    """Parse YAML whose aliases, written out, make it no longer than a config may be.

    Raises:
        ValueError: They do; a few lines of aliases to aliases can stand for gigabytes.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _length(node, {}) > CONFIG_BYTES:
            raise ValueError("its aliases, written out, are larger than 64 KiB")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _length(node: yaml.Node, known: dict[int, float]) -> float:
    """Return the characters a node stands for, aliases written out; infinite if it holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1 + len(node.value)
    if id(node) not in known:
        known[id(node)] = math.inf
        inner = [
            child
            for item in node.value
            for child in (item if isinstance(node, yaml.MappingNode) else (item,))
        ]
        known[id(node)] = 1 + sum(_length(child, known) for child in inner)
    return known[id(node)]
