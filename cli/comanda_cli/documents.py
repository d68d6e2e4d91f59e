"""YAML files as documents that know their lines, so that an error can say where.

The same files as `kubectl apply` takes: several documents a file, any of Comanda's kinds, Secrets and ConfigMaps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PathKey = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """What is wrong in a file: where, which rule, and the way out. `line` counts from 1; 0 when unknown."""

    file: str
    line: int
    path: str
    rule: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        where = f"{self.path}: " if self.path else ""
        return f"{place}: {where}{self.rule}{' ' + self.hint if self.hint else ''}"


class BrokenYamlError(Exception):
    """A file or text is no YAML; `line` counts from 1."""

    def __init__(self, line: int, rule: str) -> None:
        super().__init__(rule)
        self.line = line
        self.rule = rule


@dataclass(frozen=True)
class Document:
    """One YAML document with the line of every path in it."""

    data: Any
    lines: Mapping[PathKey, int]

    def line_of(self, path: PathKey) -> int:
        """Return the line of a path, or of the nearest one above it that the document has."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1


def read_documents(text: str) -> list[Document]:
    """Parse a text into its documents, empty ones left out. Raises `BrokenYamlError`."""
    try:
        nodes = yaml.compose_all(text, Loader=yaml.SafeLoader)
        documents = [Document(data=_construct(node), lines=dict(_lines(node, ()))) for node in nodes]
        return [document for document in documents if document.data is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BrokenYamlError(mark.line + 1 if mark else 1, f"is no YAML: {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise BrokenYamlError(1, f"is no YAML: {error}.") from None


def read_file(path: Path) -> list[Document]:
    """Read the documents of a file. Raises `BrokenYamlError` or `OSError`."""
    try:
        return read_documents(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise BrokenYamlError(1, "is not UTF-8 text.") from None


def parse_path(path: str) -> PathKey:
    """Turn `nodes.menu.options[2].goto` into a key of `Document.lines`."""
    parts = re.findall(r"([^.\[\]]+)|\[(\d+)\]", path)
    return tuple(int(index) if index else name for name, index in parts)


def format_path(path: PathKey) -> str:
    """Turn a key into `spec.items[2].name`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _construct(node: yaml.Node) -> Any:
    # Composed nodes are constructed rather than the text loaded a second time, so lines and data cannot disagree.
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _lines(node: yaml.Node, path: PathKey) -> Iterator[tuple[PathKey, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            yield from _lines(value, inner)
            yield inner, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*path, index))
