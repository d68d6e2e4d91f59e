"""Build the container images: `python -m tools.images --help`.

Docker stamps layers and image with the moment of the build. So what it built is taken out, given the time of the
commit, and put back: the same sources on the same base are the same image, to the digest, whoever builds them and when.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("operator", "router", "botpod", "simulator", "migrate")
MIB = 2**20
_LONGEST_SECONDS = 1800.0
_TIMES = ("mtime", "atime", "ctime")


class Built(NamedTuple):
    """One image: its name, its digest (of its configuration), and its size over the base in bytes, unpacked."""

    name: str
    digest: str
    over_base: int


class ImageError(Exception):
    """An image could not be built; the message says what Docker said."""


def build(service: str, name: str, *, base: str = "", options: Sequence[str] = ()) -> Built:
    """Build one image, `NAME:VERSION`, and give it the time of the commit. Raises `ImageError`."""
    told = {"SERVICE": service, "VERSION": name.rpartition(":")[2], "REVISION": _git("rev-parse", "HEAD")}
    if base:
        told["BASE"] = base
    chosen = [word for key, value in told.items() for word in ("--build-arg", f"{key}={value}")]
    file = ROOT / "images" / "Containerfile"
    _docker("build", "--file", str(file), "--tag", name, *chosen, *options, str(ROOT))
    return settle(name, base=base or _default_base(file.read_text()), epoch=source_date())


def settle(name: str, *, base: str, epoch: int) -> Built:
    """Put an image in place of itself in which nothing is younger than `epoch` (unix seconds). Raises `ImageError`."""
    below = len(json.loads(_docker("inspect", "--format", "{{json .RootFS.Layers}}", base)))
    with tempfile.TemporaryDirectory() as folder:
        saved, settled = Path(folder) / "saved.tar", Path(folder) / "settled.tar"
        _docker("save", "--output", str(saved), name)
        digest, size = _rewrite(saved, settled, below, epoch)
        _docker("load", "--input", str(settled))
    return Built(name, f"sha256:{digest}", size)


def _rewrite(saved: Path, settled: Path, below: int, epoch: int) -> tuple[str, int]:
    """Write a saved image anew, without times in the layers above the base's; return its digest and their size."""
    size = 0
    with tarfile.open(saved) as source, tarfile.open(settled, "w") as target:
        (manifest,) = json.loads(_read(source, "manifest.json"))
        config = json.loads(_read(source, manifest["Config"]))
        names = []
        for index, layer in enumerate(manifest["Layers"]):
            content = _read(source, layer)
            if index >= below:
                content = without_times(content, epoch)
                with tarfile.open(fileobj=io.BytesIO(content)) as members:
                    size += sum(member.size for member in members)
                config["rootfs"]["diff_ids"][index] = f"sha256:{hashlib.sha256(content).hexdigest()}"
            names.append(f"{index:02}.tar")
            _write(target, names[-1], content)
        body = json.dumps(settled_config(config, epoch), sort_keys=True, separators=(",", ":")).encode()
        digest = hashlib.sha256(body).hexdigest()
        _write(target, f"{digest}.json", body)
        listed = [{"Config": f"{digest}.json", "RepoTags": manifest["RepoTags"], "Layers": names}]
        _write(target, "manifest.json", json.dumps(listed).encode())
    return digest, size


def without_times(layer: bytes, epoch: int) -> bytes:
    """Return a layer (a tar archive) in which nothing is younger than `epoch`."""
    written = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(layer)) as source,
        tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source:
            member.mtime = min(int(member.mtime), epoch)
            member.pax_headers = {key: value for key, value in member.pax_headers.items() if key not in _TIMES}
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
    return written.getvalue()


def settled_config(config: Mapping[str, Any], epoch: int) -> Mapping[str, Any]:
    """Return an image's configuration without what differs from build to build."""
    moment = datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z")
    kept = {
        key: value for key, value in config.items() if key not in {"container", "container_config", "docker_version"}
    }
    history = [{**step, "created": min(step["created"], moment)} for step in config.get("history", ())]
    return {**kept, "created": moment, "history": history}


def source_date() -> int:
    """Return the moment that images carry, in unix seconds: SOURCE_DATE_EPOCH or that of the commit."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or _git("log", "-1", "--format=%ct"))


def write_sbom(service: str, folder: Path) -> Path:
    """Write what is in an image, in CycloneDX as the lock has it, to `folder`; return the file."""
    extra = "cli" if service == "migrate" else service
    target = folder / f"comanda-{service}.cdx.json"
    folder.mkdir(parents=True, exist_ok=True)
    uv = [str(Path(sys.executable).with_name("uv")), "export", "--quiet", "--frozen", "--no-dev", "--extra", extra]
    _run([*uv, "--format", "cyclonedx1.5", "--preview", "--output-file", str(target)])
    return target


def _default_base(containerfile: str) -> str:
    return next(line.partition("=")[2] for line in containerfile.splitlines() if line.startswith("ARG BASE="))


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise ImageError(f"{name} of a saved image is no file")
    return member.read()


def _write(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _docker(*arguments: str) -> str:
    return _run([os.environ.get("COMANDA_DOCKER", "docker"), *arguments])


def _git(*arguments: str) -> str:
    return _run(["git", *arguments])


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our words
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_LONGEST_SECONDS
        )
    except FileNotFoundError:
        raise ImageError(f"{command[0]} is missing: install it") from None
    except subprocess.TimeoutExpired:
        raise ImageError(f"{' '.join(command[:3])} … took longer than {_LONGEST_SECONDS:.0f} s") from None
    if done.returncode:
        raise ImageError(f"{' '.join(command[:3])} …: {(done.stderr + done.stdout)[-3000:]}")
    return done.stdout.strip()


def main() -> int:
    """Build what the arguments name; returns 1 with Docker's words when that fails."""
    parser = argparse.ArgumentParser(prog="make images", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--service", action="append", choices=SERVICES, help="this one alone; may be given again")
    parser.add_argument("--registry", default="", help="beginning of the names, such as registry.example.com/comanda")
    parser.add_argument("--tag", default="0.1.0", help="their tag (default: %(default)s)")
    parser.add_argument("--base", default="", help="base image, best by digest (default: that of the Containerfile)")
    parser.add_argument("--network", default="default", help="network of the build, as docker build takes it")
    parser.add_argument("--sbom", type=Path, default=ROOT / "dist" / "sbom", help="where the lists of contents go")
    parser.add_argument("--sbom-only", action="store_true", help="write the lists of contents and build nothing")
    given = parser.parse_args()
    prefix = f"{given.registry}/" if given.registry else ""
    for service in given.service or SERVICES:
        began = time.monotonic()
        name = f"{prefix}comanda-{service}:{given.tag}"
        try:
            listed = write_sbom(service, given.sbom)
            if given.sbom_only:
                print(listed)
                continue
            built = build(service, name, base=given.base, options=["--network", given.network])
        except ImageError as error:
            print(error, file=sys.stderr)
            return 1
        took = time.monotonic() - began
        print(
            f"{built.name}  {built.digest[:19]}  {built.over_base / MIB:.0f} MiB over its base  {took:.0f} s",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
