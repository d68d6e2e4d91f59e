"""A plan as the files that a cluster would mount: settings and credentials of each group, secrets of each app."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import msgspec

from comanda_botpod.tenants import digest_of
from comanda_cli.local.layout import Layout, write_atomic
from comanda_contract.names import app_file, shard_of
from comanda_contract.resources.app import APP_SECRET_KEY, VERIFY_TOKEN_KEY
from comanda_contract.resources.tenant import ACCESS_TOKEN_KEY
from comanda_contract.tenancy import CredentialShard, TenantSettings, TenantShard
from comanda_flow import load_restaurant
from comanda_flow.documents import in_language
from comanda_flow.money import decimals_of
from comanda_operator.plan import AppPlan, GroupPlan, Plan
from comanda_simulator.config import AppConfig, NumberConfig, Place, Product, SimulatorConfig

SecretValues = Mapping[str, Mapping[str, str]]
"""`namespace/name` → key → value."""

_encode = msgspec.json.Encoder(order="deterministic").encode


def mount_group(layout: Layout, group: GroupPlan, secrets: SecretValues, key: bytes) -> str:
    """Write a group's settings and credentials; returns the digest that its pods report once they have loaded them."""
    settings: dict[int, list[TenantSettings]] = defaultdict(list)
    tokens: dict[int, dict[str, str]] = defaultdict(dict)
    for tenant in group.tenants:
        number = tenant.settings.phone_number_id
        shard = shard_of(number)
        settings[shard].append(tenant.settings)
        tokens[shard][number] = secrets[tenant.secret][ACCESS_TOKEN_KEY]
    folder = layout.group_dir(group.key)
    files = {
        folder / "tenants": {
            f"shard-{n:02}.json": _encode(TenantShard(tenants=tuple(all_))) for n, all_ in settings.items()
        },
        folder / "credentials": {
            f"shard-{n:02}.json": _encode(CredentialShard(access_tokens=all_)) for n, all_ in tokens.items()
        },
    }
    for target, wanted in files.items():
        _mirror(target, wanted)
    return digest_of(key, [content for wanted in files.values() for content in wanted.values()])


def mount_apps(layout: Layout, apps: tuple[AppPlan, ...], secrets: SecretValues) -> None:
    """Write the secrets of the Meta apps for the router, and remove those of apps that are gone."""
    values = {app_file(app.name, key): value for app in apps for key, value in secrets[app.secret].items()}
    _mirror(layout.apps_dir, {name: value.encode() for name, value in values.items()})


def simulator_config(plan: Plan, secrets: SecretValues, webhook_url: str) -> SimulatorConfig:
    """Return the simulator's view: the apps with their secrets, and every planned number with its catalogue."""
    return SimulatorConfig(
        webhook_url=webhook_url,
        apps={
            app.name: AppConfig(
                app_secret=secrets[app.secret][APP_SECRET_KEY],
                verify_token=secrets[app.secret][VERIFY_TOKEN_KEY].splitlines()[0],
            )
            for app in plan.apps
        },
        numbers=tuple(
            _number(tenant.settings, secrets[tenant.secret][ACCESS_TOKEN_KEY])
            for group in plan.groups
            for tenant in group.tenants
        ),
    )


def encode_simulator_config(config: SimulatorConfig) -> bytes:
    """Return the content of the simulator's file."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2)


def _number(settings: TenantSettings, access_token: str) -> NumberConfig:
    restaurant = load_restaurant(
        {"name": settings.display_name} | settings.restaurant,
        currency=settings.currency,
        timezone=settings.timezone,
        locale=settings.locale,
    )
    language = restaurant.language
    place = restaurant.location
    return NumberConfig(
        phone_number_id=settings.phone_number_id,
        waba_id=settings.waba_id,
        # Country code 999 is unassigned: a made-up number must not be anybody's.
        display_phone_number=f"999{settings.phone_number_id[-8:]:0>8}",
        access_token=access_token,
        display_name=settings.display_name,
        app=settings.app,
        locale=settings.locale,
        catalog=tuple(
            Product(
                sku=item.sku,
                name=in_language(item.name, language),
                description=in_language(item.description, language) if item.description else "",
                price=item.price_minor / 10 ** decimals_of(restaurant.currency),
                currency=restaurant.currency,
                image=item.image,
            )
            for category in restaurant.menu.categories
            for item in category.items
            if item.available
        ),
        location=Place(latitude=place.latitude, longitude=place.longitude, name=settings.display_name)
        if place
        else None,
    )


def _mirror(folder: Path, wanted: Mapping[str, bytes]) -> None:
    """Make a folder hold these files and no others; each is replaced atomically and only when it differs."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, content in wanted.items():
        write_atomic(folder / name, content)
    for path in folder.iterdir():
        if path.name not in wanted:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
