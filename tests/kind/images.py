"""Images for the tests' clusters: Comanda's own, built as a release builds them, and PostgreSQL, on a base of Debian.

The base stands in for the public Python image. It also holds this machine's way to its package registries, so that a
build in it finds what an installation beside it would find.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools import images as release

from tests.cluster.binaries import Say, cache, say
from tests.kind.engine import Engine, needed, run

HERE = Path(__file__).parent
REGISTRY = "comanda.test"
"""Beginning of the names of images that are made here; no registry has it."""
TAG = "0.1.0"
HANDLER = f"{REGISTRY}/napoli/comanda-bot:1.0"
POSTGRES = f"{REGISTRY}/postgres:17"
"""Named as the chart names the official one; it is what Debian has."""
_USER = 10001
_BASES = {"python": "python3,python3-venv,python-is-python3,ca-certificates", "postgres": "postgresql-15"}


def base_image(engine: Engine, name: str, tell: Say = say) -> str:
    """Return the name of a Debian base with Python or PostgreSQL, made where it is missing. Raises `EngineError`."""
    script = (HERE / "postgres-entrypoint.sh").read_bytes() if name == "postgres" else b""
    registries = registry_files() if name == "python" else {}
    pins = repr((_BASES[name], script, sorted(registries.items())))
    image = f"{REGISTRY}/base-{name}:{hashlib.sha256(pins.encode()).hexdigest()[:16]}"
    if engine.has_image(image):
        return image
    tell(f"» Building a base image with {name} from Debian packages (once; some minute)")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        bootstrap(root, name)
        for target, content in registries.items():
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            (root / target).write_bytes(content)
        # initdb wants its user to have a name.
        for file, line in (("passwd", f"app:x:{_USER}:{_USER}::/tmp:/usr/sbin/nologin"), ("group", f"app:x:{_USER}:")):
            with (root / "etc" / file).open("a") as known:
                known.write(f"{line}\n")
        changes = ["ENV PATH=/usr/local/bin:/usr/bin:/bin"]
        if name == "postgres":
            (root / "entrypoint.sh").write_bytes(script)
            (root / "entrypoint.sh").chmod(0o755)
            data = root / "var" / "lib" / "postgresql" / "data"
            data.mkdir(parents=True)
            os.chown(data, _USER, _USER)  # so a volume that is mounted there belongs to it
            (root / "run" / "postgresql").chmod(0o1777)
            changes += [
                'ENTRYPOINT ["/entrypoint.sh"]',
                f"USER {_USER}:{_USER}",
                "ENV PATH=/usr/lib/postgresql/15/bin:/usr/bin:/bin",
            ]
        else:
            changes += ["ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"]
        _import(engine, root, image, changes)
    return image


def bootstrap(root: Path, name: str) -> None:
    """Make a Debian system with the packages of a base, less what no program reads. Raises `EngineError`."""
    kept = cache() / "docker" / f"base-{hashlib.sha256(_BASES[name].encode()).hexdigest()[:16]}.tar"
    if not kept.exists():
        run([needed("debootstrap"), "--variant=minbase", f"--include={_BASES[name]}", "bookworm", root], os.environ)
        waste = [
            "var/cache/apt",
            "var/lib/apt/lists",
            "var/lib/postgresql/15",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ]
        run(["rm", "-rf", *(root / part for part in waste)], os.environ)
        unfinished = kept.with_suffix(".unfinished")
        run(["tar", "-C", root, "--exclude=./dev/*", "-cf", unfinished, "."], os.environ)
        unfinished.rename(kept)
    else:
        root.mkdir()
        run(["tar", "-C", root, "-xf", kept], os.environ)


def registry_files() -> Mapping[str, bytes]:
    """Return the files, by path below the root, that lead this machine's pip and uv to their registries."""
    found = {
        path: Path("/", path).read_bytes() for path in ("etc/pip.conf", "etc/uv/uv.toml") if Path("/", path).exists()
    }
    certificates = os.environ.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    if certificates:
        found["etc/ssl/certs/ca-certificates.crt"] = Path(certificates).read_bytes()
    return found


def comanda_images(engine: Engine, services: Sequence[str] = release.SERVICES, tell: Say = say) -> Mapping[str, str]:
    """Build Comanda's images from this checkout; return their names by service. Raises `EngineError`."""
    base = base_image(engine, "python", tell)
    tell(f"» Building the images of Comanda ({', '.join(services)})")
    command = [sys.executable, "-m", "tools.images", f"--registry={REGISTRY}", f"--tag={TAG}", f"--base={base}"]
    command += ["--network=host", *(f"--service={service}" for service in services)]
    environment = {**engine.environment, "COMANDA_DOCKER": needed("docker")}
    tell(run(command, environment, seconds=1800, cwd=release.ROOT))
    if engine.ours:
        engine.docker("image", "prune", "--force", "--filter", "until=168h")  # what is younger makes builds quicker
    return {service: f"{REGISTRY}/comanda-{service}:{TAG}" for service in services}


def handler_image(engine: Engine, botpod: str, tell: Say = say) -> str:
    """Build the example of a handler as its page says, upon an image of the bot pod; return its name."""
    tell("» Building the example of a handler of one's own")
    folder = release.ROOT / "docs" / "examples" / "handler"
    options = [f"--file={folder / 'Containerfile'}", f"--build-arg=COMANDA_BOTPOD_IMAGE={botpod}", "--network=host"]
    engine.docker("build", f"--tag={HANDLER}", *options, folder)
    return HANDLER


def postgres_image(engine: Engine, tell: Say = say) -> str:
    """Return the name of an image of PostgreSQL that starts as the official one does. Raises `EngineError`."""
    engine.docker("tag", base_image(engine, "postgres", tell), POSTGRES)
    return POSTGRES


def _import(engine: Engine, root: Path, image: str, changes: Sequence[str]) -> None:
    options = [word for change in changes for word in ("--change", change)]
    with subprocess.Popen(["tar", "-C", root, "-cf", "-", "."], stdout=subprocess.PIPE) as packing:
        assert packing.stdout is not None
        engine.docker("import", *options, "-", image, given=packing.stdout.read())
