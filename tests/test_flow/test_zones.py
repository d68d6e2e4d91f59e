from __future__ import annotations

import pytest

from comanda_flow.zones import Coverage, Point, Zone, cover, distance_km

DOOR = Point(-33.4450, -70.6230)
NEAR = Zone("near", 1000, radius_km=2)
FAR = Zone("far", 2000, radius_km=5)
NAMED = Zone("named", 2500, names=("Ñuñoa", "La Reina"))
REST = Zone("rest", 4000)


def test_distance_is_the_great_circle() -> None:
    assert distance_km(DOOR, DOOR) == 0
    assert distance_km(Point(0, 0), Point(0, 1)) == pytest.approx(111.19, abs=0.01)
    assert distance_km(Point(90, 0), Point(-90, 0)) == pytest.approx(20015, abs=1)


@pytest.mark.parametrize(
    ("zones", "point", "address", "district", "expected"),
    [
        ((FAR, NEAR), DOOR, "", "", Coverage("served", NEAR)),
        ((FAR, NEAR), Point(-33.475, -70.623), "", "", Coverage("served", FAR)),
        ((FAR, NEAR), Point(-34.0, -70.6), "", "", Coverage("outside")),
        ((FAR, NEAR, REST), Point(-34.0, -70.6), "", "", Coverage("served", REST)),
        ((FAR, NEAR), None, "Los Leones 45", "", Coverage("served", FAR, estimated=True)),
        ((NAMED,), None, "Irarrázaval 100, nunoa", "", Coverage("served", NAMED)),
        ((NAMED,), None, "Los Leones 45, la  reina", "", Coverage("served", NAMED)),
        ((NAMED,), None, "Los Leones 45", "", Coverage("district")),
        ((NAMED,), None, "Los Leones 45", "Ñunoa", Coverage("served", NAMED)),
        ((NAMED,), None, "Los Leones 45", "Maipú", Coverage("outside")),
        ((NAMED,), Point(-34.0, -70.6), "", "", Coverage("district")),
        ((NEAR, NAMED), DOOR, "Maipú", "", Coverage("served", NEAR)),
        ((), None, "anywhere", "", Coverage("served", Zone("", 0))),
        ((NEAR,), None, "", "", Coverage("missing")),
    ],
)
def test_place_is_covered_by_distance_then_name_then_the_rest(
    zones: tuple[Zone, ...], point: Point | None, address: str, district: str, expected: Coverage
) -> None:
    assert cover(zones, DOOR, point, address, district) == expected
