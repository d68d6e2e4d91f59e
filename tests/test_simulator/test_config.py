"""The configuration file: what it may say, and that changes are picked up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from comanda_contract.errors import ComandaError
from comanda_simulator.app import create_app
from comanda_simulator.config import ConfigFile, read_config
from comanda_simulator.errors import ConfigError
from tests.test_simulator.harness import Receiver, build_config, run_simulator

GOOD: dict[str, Any] = {
    "webhook_url": "http://127.0.0.1:8080/webhook",
    "apps": {"default": {"app_secret": "s", "verify_token": "v"}},
    "numbers": [
        {
            "phone_number_id": "1",
            "waba_id": "2",
            "display_phone_number": "56911112222",
            "display_name": "Pizzería Napoli",
            "app": "default",
            "access_token": "t",
            "locale": "es",
            "catalog": [
                {"sku": "A", "name": "A", "description": "", "price": "7.50", "currency": "USD", "image": ""},
            ],
            "location": None,
        }
    ],
}


def write(path: Path, content: object) -> Path:
    # Replaced as a whole, as every careful writer does; a reader never sees half a file.
    fresh = path.with_suffix(".new")
    fresh.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    os.replace(fresh, path)  # noqa: PTH105 - one call replaces on every platform
    return path


def changed_number(**fields: Any) -> dict[str, Any]:
    return GOOD | {"numbers": [GOOD["numbers"][0] | fields]}


def test_documented_shape_is_read(tmp_path: Path) -> None:
    config = read_config(write(tmp_path / "c.json", GOOD))
    [number] = config.numbers
    assert number.catalog[0].price == 7.5
    assert config.webhook_url_of("default") == "http://127.0.0.1:8080/webhook"
    assert config.webhook_url_of("sushi") == "http://127.0.0.1:8080/webhook/sushi"
    assert config.app_id_of("default").isdigit()


def test_a_number_is_written_as_meta_does_with_or_without_a_plus(tmp_path: Path) -> None:
    [number] = read_config(write(tmp_path / "c.json", changed_number(display_phone_number="+56911112222"))).numbers
    assert number.display_phone_number == "56911112222"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "c.json"),
        ("[]", "c.json"),
        (GOOD | {"hat": 1}, "hat"),
        (GOOD | {"webhook_url": "ftp://x"}, "webhook_url"),
        (changed_number(app="missing"), "numbers[0].app"),
        (changed_number(waba_id=None), "numbers[0].waba_id"),
        (GOOD | {"numbers": GOOD["numbers"] * 2}, "numbers[1].phone_number_id"),
        (GOOD | {"settings": {"ledger_size": "many"}}, "settings.ledger_size"),
    ],
)
def test_mistake_is_named(tmp_path: Path, content: object, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(write(tmp_path / "c.json", content))
    assert named in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ComandaError, match=r"absent\.json"):
        read_config(tmp_path / "absent.json")


def test_change_is_noticed_once(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", GOOD)
    file = ConfigFile(path)
    assert file.changed() is None
    write(path, changed_number(access_token="fresh"))
    config = file.changed()
    assert config is not None
    assert config.numbers[0].access_token == "fresh"
    assert file.changed() is None


def test_broken_change_keeps_the_last_good_configuration(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", GOOD)
    file = ConfigFile(path)
    write(path, "{")
    assert file.changed() is None
    assert file.current.numbers[0].phone_number_id == "1"
    path.unlink()
    assert file.changed() is None
    write(path, GOOD)
    assert file.changed() is not None


def test_application_refuses_an_inconsistent_configuration() -> None:
    config = build_config()
    with pytest.raises(ConfigError):
        create_app(type(config)(numbers=config.numbers))


async def test_new_configuration_takes_effect_and_history_stays(receiver: Receiver) -> None:
    async with run_simulator(receiver) as sim:
        await sim.write()
        config = sim.cloud.config
        sim.cloud.apply(type(config)(webhook_url=receiver.url, apps=config.apps, numbers=config.numbers[:1]))
        _, numbers = await sim.call("GET", "/simulator/numbers")
        assert len(numbers) == 1
        assert len(await sim.ledger()) == 1
