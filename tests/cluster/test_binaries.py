from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.cluster import binaries
from tests.cluster.binaries import API, Module

GO_MOD = "module tests.comanda.dev/hello\n\ngo 1.21\n\nrequire k8s.io/kubernetes v1.35.4 // indirect\n"


@pytest.fixture
def hello(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """A Go program of one line in place of Kubernetes, and a cache of this test's own."""
    home = tmp_path / "source"
    (home / "hello").mkdir(parents=True)
    (home / "go.mod").write_text(GO_MOD)
    (home / "go.sum").write_text("")
    (home / "hello/main.go").write_text('package main\n\nfunc main() { println("hello") }\n')
    monkeypatch.setattr(binaries, "cache", lambda: tmp_path / "cache")
    return Module(home, {"hello": "./hello"})


async def test_two_builds_at_once_build_once(hello: Module) -> None:
    told: list[str] = []
    one, other = await asyncio.gather(*(asyncio.to_thread(hello.build, told.append) for _ in range(2)))
    assert one == other
    assert (one / "hello").exists()
    assert sum("Building hello" in line for line in told) == 1


async def test_other_pins_build_anew_and_the_same_ones_do_not(hello: Module) -> None:
    told: list[str] = []
    first = await asyncio.to_thread(hello.build, told.append)
    assert await asyncio.to_thread(hello.build, told.append) == first
    assert sum("Building hello" in line for line in told) == 1
    (hello.home / "go.mod").write_text(GO_MOD.replace("1.21", "1.22"))
    assert await asyncio.to_thread(hello.build, told.append) != first


async def test_a_build_that_fails_says_what_the_compiler_said(hello: Module) -> None:
    (hello.home / "hello/main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(binaries.BuildError, match="undefined: nonsense"):
        await asyncio.to_thread(hello.build, list[str]().append)
    assert not (hello.folder() / "hello").exists()


def test_the_pins_are_of_the_kubernetes_that_is_promised() -> None:
    assert API.version("k8s.io/kubernetes").startswith("v1.35.")
