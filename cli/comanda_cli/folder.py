"""A folder of resources: what is in it, what is wrong in it, and what it means for the plan.

A file with anything wrong in it is refused as a whole, with the line; its last good content stays in force, and the
other files are not touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from comanda_cli.bots import check_bot
from comanda_cli.documents import (
    BrokenYamlError,
    Document,
    PathKey,
    Problem,
    format_path,
    read_documents,
    read_file,
)
from comanda_contract.errors import InvalidInputError
from comanda_contract.resources import BotPool, ConfigMap, Secret, WhatsAppApp, WhatsAppTenant
from comanda_contract.resources.tenant import FLOW_KEY, RESTAURANT_KEY
from comanda_operator.observed import Observed

Resource = WhatsAppTenant | BotPool | WhatsAppApp | Secret | ConfigMap

_KINDS: dict[tuple[str, str], type[BaseModel]] = {
    ("comanda.dev/v1alpha1", "WhatsAppTenant"): WhatsAppTenant,
    ("comanda.dev/v1alpha1", "BotPool"): BotPool,
    ("comanda.dev/v1alpha1", "WhatsAppApp"): WhatsAppApp,
    ("v1", "Secret"): Secret,
    ("v1", "ConfigMap"): ConfigMap,
}


@dataclass(frozen=True)
class LoadedFile:
    """The good content of one file, and the kinds in it that local mode has no use for."""

    resources: tuple[tuple[Resource, Document], ...]
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contents:
    """The good content of a folder and the problems of its files."""

    files: Mapping[str, LoadedFile]
    problems: tuple[Problem, ...]

    def of(self, kind: type[Any]) -> list[Any]:
        """Return all resources of a kind."""
        return [
            resource for file in self.files.values() for resource, _ in file.resources if isinstance(resource, kind)
        ]

    def secret_values(self) -> dict[str, dict[str, str]]:
        """Return the values of all Secrets by `namespace/name`."""
        return {secret.metadata.key: secret.values() for secret in self.of(Secret)}

    def observed(self) -> Observed:
        """Return what the plan depends on."""
        return Observed(
            tenants=tuple(self.of(WhatsAppTenant)),
            pools=tuple(self.of(BotPool)),
            apps=tuple(self.of(WhatsAppApp)),
            secret_keys={key: frozenset(values) for key, values in self.secret_values().items()},
            documents={config.metadata.key: bot_documents(config) for config in self.of(ConfigMap)},
        )


Stamp = tuple[tuple[str, int, int, int], ...]
"""Path, time, size and inode of every file: differs when anything was changed."""


@dataclass
class Folder:
    """A folder that is read again and again; remembers each file's last good content."""

    path: Path
    _good: dict[str, LoadedFile] = field(default_factory=dict)
    _stamp: Stamp = ()

    def changed(self) -> bool:
        """Tell whether any file is another than when it was last read."""
        return self._stamp != self._look()

    def read(self) -> Contents:
        """Read all files. Raises `InvalidInputError` when the folder itself cannot be read."""
        if not self.path.is_dir():
            raise InvalidInputError(str(self.path), "is no folder.", hint="Give the folder of your YAML files with -f.")
        # Looked at before it is read: a file that changes meanwhile counts as changed.
        self._stamp = self._look()
        files: dict[str, LoadedFile] = {}
        problems: list[Problem] = []
        taken: dict[tuple[str, str], str] = {}
        for path in self._paths():
            name = str(path.relative_to(self.path))
            loaded, found = read_resources(path, name)
            found += _taken_already(loaded, name, taken)
            problems += found
            good = self._good.get(name) if found else loaded
            if good is not None:
                files[name] = good
                taken |= {(resource.kind, resource.metadata.key): name for resource, _ in good.resources}
        contents = Contents(files, ())
        problems += [problem for name in files for problem in _bot_problems(name, contents)]
        broken = {problem.file for problem in problems}
        # A file refused only now, because of its flow or menu, falls back to its last good content as well.
        final = {name: file if name not in broken else self._good.get(name) for name, file in files.items()}
        self._good = {name: file for name, file in final.items() if file is not None}
        return Contents(dict(self._good), tuple(problems))

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.path.rglob("*") if path.suffix in {".yaml", ".yml"} and path.is_file())

    def _look(self) -> Stamp:
        return tuple(
            (str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino)
            for path in self._paths()
            for stat in (path.stat(),)
        )


def read_resources(path: Path, name: str) -> tuple[LoadedFile, list[Problem]]:
    """Read one file's resources; with problems, the resources are incomplete."""
    try:
        documents = read_file(path)
    except BrokenYamlError as error:
        return LoadedFile(()), [Problem(name, error.line, "", error.rule, "The file was refused.")]
    except OSError as error:
        return LoadedFile(()), [Problem(name, 0, "", f"cannot be read: {error.strerror}.")]
    resources: list[tuple[Resource, Document]] = []
    ignored: list[str] = []
    problems: list[Problem] = []
    for document in documents:
        data = document.data
        if not isinstance(data, dict) or not isinstance(data.get("kind"), str):
            rule = "is no Kubernetes resource: it has no kind."
            problems.append(Problem(name, document.line_of(()), "", rule))
            continue
        model = _KINDS.get((str(data.get("apiVersion")), data["kind"]))
        if model is None:
            if str(data.get("apiVersion", "")).startswith("comanda.dev"):
                known = ", ".join(kind for version, kind in _KINDS if version.startswith("comanda.dev"))
                rule = f"is {data.get('apiVersion')}/{data['kind']}, which is not known."
                problems.append(Problem(name, document.line_of(("kind",)), "kind", rule, f"Known are {known}."))
            else:
                ignored.append(data["kind"])
            continue
        try:
            resource: Any = model.model_validate(data)
        except ValidationError as error:
            problems += _validation_problems(name, document, error)
            continue
        resources.append((resource, document))
    return LoadedFile(tuple(resources), tuple(ignored)), problems


def bot_documents(config: ConfigMap) -> dict[str, Any]:
    """Return the parsed flow and restaurant of a ConfigMap; a text that is no YAML is left out (and reported)."""
    parsed: dict[str, Any] = {}
    for key in (FLOW_KEY, RESTAURANT_KEY):
        if key in config.data:
            try:
                documents = read_documents(config.data[key])
            except BrokenYamlError:
                continue
            parsed[key] = documents[0].data if documents else {}
    return parsed


def _validation_problems(name: str, document: Document, error: ValidationError) -> Iterable[Problem]:
    for detail in error.errors(include_url=False, include_input=False):
        path: PathKey = tuple(detail["loc"])
        rule = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            rule = "is not a field of this resource; check the spelling"
        yield Problem(name, document.line_of(path), format_path(path), rule + ".")


def _taken_already(loaded: LoadedFile, name: str, taken: Mapping[tuple[str, str], str]) -> list[Problem]:
    return [
        Problem(
            name,
            document.line_of(("metadata", "name")),
            "metadata.name",
            f"{resource.kind} {resource.metadata.key} is in {taken[key]} already.",
            "Remove one of the two.",
        )
        for resource, document in loaded.resources
        if (key := (resource.kind, resource.metadata.key)) in taken
    ]


def _bot_problems(name: str, contents: Contents) -> Iterable[Problem]:
    """Check the flows and menus of a file's ConfigMaps with the settings of the tenants that use them."""
    users: dict[str, WhatsAppTenant] = {}
    for tenant in contents.of(WhatsAppTenant):
        if tenant.spec.flow is not None:
            users[f"{tenant.metadata.namespace}/{tenant.spec.flow.config_map_ref.name}"] = tenant
    for resource, document in contents.files[name].resources:
        if isinstance(resource, ConfigMap) and resource.metadata.key in users:
            for key in (FLOW_KEY, RESTAURANT_KEY):
                if key in resource.data:
                    # The text of a block scalar begins on the line after its key.
                    first_line = document.line_of(("data", key)) + 1
                    spec = users[resource.metadata.key].spec
                    yield from check_bot(name, first_line, key, resource.data[key], spec)
