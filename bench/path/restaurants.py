"""The restaurants of the benchmark, as the YAML that `kubectl apply` takes: one pool of two pods, standard flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from bench.path.meta import Number

APP_SECRET = "bench-app-secret"
VERIFY_TOKEN = "bench-verify-token"
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def numbers(count: int) -> list[Number]:
    """Return the numbers of so many restaurants; 999 is nobody's country code."""
    return [
        Number(f"default/pizzeria-{n:02}", f"1065403522{n:05}", f"1022901293{n:05}", f"999{n:08}") for n in range(count)
    ]


def write_folder(folder: Path, restaurants: list[Number]) -> None:
    """Write the platform's file and one a restaurant."""
    folder.mkdir(parents=True)
    _write(folder / "platform.yaml", _platform())
    for number in restaurants:
        name = number.tenant.partition("/")[2]
        _write(folder / f"{name}.yaml", _tenant(name, number))


def _write(path: Path, documents: list[dict[str, Any]]) -> None:
    path.write_text(yaml.safe_dump_all(documents, allow_unicode=True, sort_keys=False))


def _platform() -> list[dict[str, Any]]:
    return [
        _resource("v1", "Secret", "meta-app", stringData={"appSecret": APP_SECRET, "verifyToken": VERIFY_TOKEN}),
        _resource(
            "comanda.dev/v1alpha1",
            "WhatsAppApp",
            "default",
            spec={"appId": "1029384756", "secretRef": {"name": "meta-app"}},
        ),
        _resource("comanda.dev/v1alpha1", "BotPool", "default", spec={"replicas": 2}),
    ]


def _tenant(name: str, number: Number) -> list[dict[str, Any]]:
    spec = {
        "phoneNumberId": number.phone_number_id,
        "wabaId": number.waba_id,
        "displayName": f"Pizzería {name}",
        "plan": "standard",
        "credentials": {"secretRef": {"name": f"{name}-token"}},
        "locale": "es-CL",
        "timezone": "America/Santiago",
        "currency": "CLP",
        "flow": {"configMapRef": {"name": f"{name}-menu"}},
        # A closed loop has a year's customers in a minute; a tenant's usual rate would be what is measured.
        "limits": {"inboundPerMinute": 100_000, "inboundBurst": 100_000},
    }
    return [
        _resource("v1", "Secret", f"{name}-token", stringData={"accessToken": f"bench-token-of-{name}"}),
        _resource(
            "v1",
            "ConfigMap",
            f"{name}-menu",
            data={"restaurant.yaml": yaml.safe_dump(restaurant(name), allow_unicode=True, sort_keys=False)},
        ),
        _resource("comanda.dev/v1alpha1", "WhatsAppTenant", name, spec=spec),
    ]


def restaurant(name: str) -> dict[str, Any]:
    """Return a restaurant's document: eight items, one zone, open at all hours."""
    pizzas = [
        {"sku": "MARG", "name": "Pizza Margarita", "price": 8990, "aliases": ["margarita"]},
        {"sku": "NAPO", "name": "Pizza Napolitana", "price": 9490},
        {"sku": "PEPP", "name": "Pizza Pepperoni", "price": 9990},
        {"sku": "4QUE", "name": "Pizza Cuatro Quesos", "price": 10490},
    ]
    starters = [
        {"sku": "EPIN", "name": "Empanada de pino", "price": 2500},
        {"sku": "EQUE", "name": "Empanada de queso", "price": 2200},
    ]
    drinks = [
        {"sku": "COCA", "name": "Coca-Cola 1.5 L", "price": 2490, "aliases": ["coca cola", "coca"]},
        {"sku": "AGUA", "name": "Agua mineral", "price": 1500},
    ]
    return {
        "name": f"Pizzería {name}",
        "greeting": f"¡Hola! Bienvenido a Pizzería {name}",
        "address": "Av. Italia 1234, Providencia, Santiago",
        "location": {"latitude": -33.4450, "longitude": -70.6230},
        "hours": {day: ["00:00-24:00"] for day in DAYS},
        "fulfilment": {"pickup": True, "delivery": True},
        "zones": [{"name": "Ñuñoa y Providencia", "fee": 2500, "minimum": 8000, "names": ["Ñuñoa", "Providencia"]}],
        "minimum_order": 5000,
        "payment": ["Efectivo", "Transferencia"],
        "menu": {
            "categories": [
                {"id": "pizzas", "name": "Pizzas", "items": pizzas},
                {"id": "empanadas", "name": "Empanadas", "items": starters},
                {"id": "bebidas", "name": "Bebidas", "items": drinks},
            ]
        },
    }


def _resource(version: str, kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}
