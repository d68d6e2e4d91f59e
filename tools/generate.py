"""Write what is made from the models: `crds/*.yaml` and `docs/reference/`. With `--check`, only say what differs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic_settings import BaseSettings

from comanda_botpod.settings import BotPodSettings
from comanda_contract.resources import CUSTOM_RESOURCES
from comanda_contract.resources.crd import build_crd
from comanda_flow import Flow, RestaurantDocument
from comanda_router.settings import RouterSettings

ROOT = Path(__file__).resolve().parent.parent
MADE = "Made by `make crds` from the models; change those."


def outputs() -> dict[Path, str]:
    """Return every generated file with its content."""
    files: dict[Path, str] = {}
    for kind in CUSTOM_RESOURCES:
        crd = build_crd(kind)
        text = yaml.safe_dump(crd, sort_keys=False, allow_unicode=True, width=120)
        files[ROOT / "crds" / f"{kind.definition.plural}.yaml"] = f"# {MADE}\n{text}"
    files[ROOT / "docs" / "reference" / "resources.md"] = "\n".join(_resources())
    files[ROOT / "docs" / "reference" / "settings.md"] = "\n".join(_settings())
    for name, document in (("flow", Flow), ("restaurant", RestaurantDocument)):
        schema = json.dumps(document.model_json_schema(), indent=2, ensure_ascii=False)
        files[ROOT / "docs" / "reference" / f"{name}.schema.json"] = schema + "\n"
    return files


def _resources() -> Iterator[str]:
    yield "# Custom resources\n"
    yield f"{MADE}\n"
    for kind in CUSTOM_RESOURCES:
        version = build_crd(kind)["spec"]["versions"][0]
        names = ", ".join(f"`{name}`" for name in kind.definition.short_names)
        yield f"## {kind.__name__} ({names})\n"
        yield f"{(kind.__doc__ or '').strip()}\n"
        yield "| field | type | default | what it is |\n|---|---|---|---|"
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        yield from _rows("spec", spec)
        rules = [rule["message"] for rule in spec.get("x-kubernetes-validations", [])]
        if rules:
            yield "\nRules: " + "; ".join(rules) + "."
        yield ""


def _rows(path: str, schema: dict[str, Any]) -> Iterator[str]:
    required = set(schema.get("required", []))
    for name, field in schema.get("properties", {}).items():
        inner = f"{path}.{name}"
        default = field.get("default", "required" if name in required else "–")
        shown = "…" if isinstance(default, dict) and default else default
        kind = " · ".join(f"`{value}`" for value in field["enum"]) if "enum" in field else field.get("type", "")
        yield f"| `{inner}` | {kind} | {shown} | {field.get('description', '')} |"
        yield from _rows(inner, field)


def _settings() -> Iterator[str]:
    yield "# Settings\n"
    yield f"{MADE}\n"
    services: tuple[tuple[str, type[BaseSettings]], ...] = (("Router", RouterSettings), ("Bot pod", BotPodSettings))
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
