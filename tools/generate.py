"""Write what is made from the models: `crds/*.yaml`, `docs/reference/` and the chart's values, schema, README and CRDs.

With `--check`, only say what differs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic_settings import BaseSettings
from tools import chart_files, chart_values

from comanda_botpod.settings import BotPodSettings
from comanda_contract.resources import CUSTOM_RESOURCES
from comanda_contract.resources.crd import Schema, build_crd, build_schema, default_text
from comanda_contract.resources.meta import Definition
from comanda_flow import Flow, RestaurantDocument
from comanda_operator.reasons import REASONS
from comanda_operator.settings import OperatorSettings
from comanda_router.settings import RouterSettings

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "charts" / "comanda"
MADE = "Made by `make crds` from the models; change those."


def outputs() -> dict[Path, str]:
    """Return every generated file with its content."""
    files: dict[Path, str] = {}
    for kind in CUSTOM_RESOURCES:
        crd = build_crd(kind)
        text = yaml.safe_dump(crd, sort_keys=False, allow_unicode=True, width=120)
        for folder in (ROOT / "crds", CHART / "files" / "crds"):
            files[folder / f"{kind.definition.plural}.yaml"] = f"# {MADE}\n{text}"
    files[ROOT / "docs" / "reference" / "resources.md"] = "\n".join(_resources())
    files[ROOT / "docs" / "reference" / "settings.md"] = "\n".join(_settings())
    files[ROOT / "docs" / "operating" / "conditions.md"] = "\n".join(_conditions())
    for name, document in (("flow", Flow), ("restaurant", RestaurantDocument)):
        schema = json.dumps(document.model_json_schema(), indent=2, ensure_ascii=False)
        files[ROOT / "docs" / "reference" / f"{name}.schema.json"] = schema + "\n"
    files |= {CHART / name: text for name, text in _chart().items()}
    return files


def _chart() -> dict[str, str]:
    """Return what is made of the chart: one model says its values, so that nothing has to be compared."""
    made = f"# {MADE.replace('the models; change those', '`tools/chart_values.py`; change that')}"
    schema = json.dumps(chart_files.schema(), indent=2, ensure_ascii=False)
    readme = (CHART / "README.md.in").read_text(encoding="utf-8")
    return {
        "values.yaml": "\n".join((made, "", *chart_files.values_yaml())) + "\n",
        "values.schema.json": schema + "\n",
        "files/removed.yaml": f"{made}\n{yaml.safe_dump(dict(chart_values.REMOVED), sort_keys=False)}",
        "README.md": readme.replace("VALUES", "\n".join(chart_files.value_rows())),
    }


def _resources() -> Iterator[str]:
    yield "# Custom resources\n"
    yield f"{MADE}\n"
    yield "`kubectl explain` says the same of each field. What breaks a bound or a rule is refused by `kubectl apply`"
    yield "and by `comanda validate`, with the field and the sentence that stands here.\n"
    for kind in CUSTOM_RESOURCES:
        definition, schema = kind.definition, build_schema(kind)
        names = ", ".join(f"`{name}`" for name in (definition.singular, *definition.short_names))
        yield f"## {kind.__name__} ({names})\n"
        yield f"{schema['description']}\n"
        yield "| field | type | default | what it is |\n|---|---|---|---|"
        for path, field, is_required in _fields("spec", schema["properties"]["spec"]):
            default = "required" if is_required else _code(default_text(field)) or "–"
            yield f"| `{path}` | {_type(field)} | {default} | {field['description']} |"
        yield "\n### Rules\n"
        yield from _rules(schema)
        yield "\n### Status\n"
        yield "| field | type | what it is |\n|---|---|---|"
        for path, field, _ in _fields("status", schema["properties"]["status"]):
            yield f"| `{path}` | {_type(field)} | {field['description']} |"
        yield "\n### kubectl get\n"
        yield from _columns(definition)
        yield ""


def _fields(path: str, schema: Schema) -> Iterator[tuple[str, Schema, bool]]:
    """Yield path, schema and whether it must be given of every field."""
    required = set(schema.get("required", []))
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}"
        yield inner, field, name in required
        yield from _fields(inner, field)
        yield from _fields(f"{inner}[]", field.get("items", {}))


def _type(field: Schema) -> str:
    """Return the type of a field and its bounds in words."""
    if "enum" in field:
        return " · ".join(f"`{value}`" for value in field["enum"])
    if "x-kubernetes-int-or-string" in field:
        return "quantity"
    if "format" in field:
        return "time"
    kind = field["type"]
    if "minimum" in field:
        return f"{kind}, {_span(field['minimum'], field.get('maximum'))}"
    if "maxLength" in field:
        return f"{kind}, {_span(field.get('minLength'), field['maxLength'])} characters"
    most = field.get("maxItems") or field.get("maxProperties")
    return f"{'list' if kind == 'array' else 'map'}, at most {most}" if most else str(kind)


def _span(least: int | None, most: int | None) -> str:
    if least is None:
        return f"at most {most}"
    if most is None:
        return f"at least {least}"
    return f"{least}" if least == most else f"{least} to {most}"


def _rules(schema: Schema) -> Iterator[str]:
    """Yield each sentence once, with all fields that it is about."""
    about: dict[str, list[str]] = {}
    for path, sentence in _sentences("", schema):
        about.setdefault(sentence, []).append(f"`{path}`")
    yield from (f"- {', '.join(paths)}: {sentence}." for sentence, paths in about.items())


def _sentences(path: str, schema: Schema) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"{path}{rule.get('fieldPath', '')}".removeprefix("."), rule["message"]
    for name, field in schema.get("properties", {}).items():
        yield from _sentences(f"{path}.{name}", field)
    for key in {"items", "additionalProperties"} & schema.keys():
        yield from _sentences(f"{path}[]", schema[key])


def _columns(definition: Definition) -> Iterator[str]:
    yield "| column | what it shows |\n|---|---|"
    for column in definition.columns:
        yield f"| {column.name}{' (with `-o wide`)' if column.priority else ''} | {column.description} |"
    if definition.selectable_fields:
        fields = ", ".join(f"`{path.removeprefix('.')}`" for path in definition.selectable_fields)
        yield f"\n`kubectl get {definition.singular} --field-selector FIELD=VALUE` selects by {fields}."
    if definition.scale:
        yield f"\n`kubectl scale {definition.singular}/NAME --replicas=4` and autoscalers set `spec.replicas`."


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _conditions() -> Iterator[str]:
    yield "# Conditions\n"
    yield (
        "What `kubectl describe wat`, `botpool` and `wapp` say, and what to do about it. A condition that is `False`\n"
        "has one of these reasons; its message names the object. `comanda tenant describe NAME` shows both.\n"
    )
    yield f"{MADE.replace('the models; change those', '`operator/comanda_operator/reasons.py`')}\n"
    yield "| condition | reason | what it means | what to do |\n|---|---|---|---|"
    for name, reason in REASONS.items():
        yield f"| {reason.conditions} | `{name}` | {reason.meaning} | {reason.cure or '–'} |"
    yield ""


def _settings() -> Iterator[str]:
    yield "# Settings\n"
    yield f"{MADE}\n"
    services: tuple[tuple[str, type[BaseSettings]], ...] = (
        ("Router", RouterSettings),
        ("Bot pod", BotPodSettings),
        ("Operator", OperatorSettings),
    )
    for title, model in services:
        prefix = model.model_config.get("env_prefix", "")
        yield f"## {title}\n"
        yield f"{(model.__doc__ or '').strip()}\n"
        yield "| variable | default | what it is |\n|---|---|---|"
        for name, field in model.model_fields.items():
            default = "required" if field.is_required() else f"`{field.default}`"
            yield f"| `{prefix}{name.upper()}` | {default} | {field.description} |"
        yield ""


def main() -> int:
    """Write the files, or with `--check` name those that differ; returns 1 when some do."""
    check = "--check" in sys.argv[1:]
    stale = [path for path, content in outputs().items() if not path.exists() or path.read_text() != content]
    if check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what the models say: run make crds", file=sys.stderr)
        return 1 if stale else 0
    for path, content in outputs().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    print(f"{len(outputs())} files, {len(stale)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
