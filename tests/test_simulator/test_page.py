"""How the chat page is served."""

from __future__ import annotations

import re

import pytest

from tests.test_simulator.harness import NUMBER, Simulator

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
MODULES = ["api", "bubbles", "chat", "chatview", "dom", "format", "people", "sheets", "sidebar", "timeline", "words"]


@pytest.mark.parametrize(
    "path", ["/", f"/chat/{NUMBER}", *[f"/page/{name}.js" for name in MODULES], "/page/chat.css", "/page/icon.svg"]
)
async def test_every_file_has_its_type_and_the_policy(sim: Simulator, path: str) -> None:
    async with sim.http.get(sim.url + path) as response:
        body = await response.text()
    assert response.status == 200
    assert response.headers["Content-Type"].startswith(TYPES[path.rpartition(".")[2] if "." in path else "html"])
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert body


async def test_document_has_no_inline_script_or_style_and_loads_nothing_foreign(sim: Simulator) -> None:
    async with sim.http.get(sim.url) as response:
        page = await response.text()
    assert re.findall(r"<script[^>]*>([^<]+)</script>", page) == []
    assert "<style" not in page
    assert not re.search(r"\s(on\w+|style)=", page)
    assert not re.search(r'(src|href)="(?!/page/)', page)


@pytest.mark.parametrize("path", ["/page/secret.txt", "/page/..%2fpage.py", "/page/__init__.py"])
async def test_nothing_else_is_served(sim: Simulator, path: str) -> None:
    async with sim.http.get(sim.url + path) as response:
        assert response.status == 404


@pytest.mark.parametrize("name", MODULES)
async def test_modules_never_parse_data_as_html(sim: Simulator, name: str) -> None:
    async with sim.http.get(f"{sim.url}/page/{name}.js") as response:
        source = await response.text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source)
