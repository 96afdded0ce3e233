"""A container in which an image is finished: files put in, programs run, the result committed."""

from __future__ import annotations

import io
import json
import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pytest_kinda import folders
from pytest_kinda.errors import SetupError
from pytest_kinda.setup import images


class Workshop:
    """A container that lives as long as the ``with`` block.

    :param base: the image it is started from.
    :param privileged: as a node runs, for containerd.
    :param network: whether it may reach the outside (to install packages).
    """

    def __init__(self, base: str, *, privileged: bool = False, network: bool = False) -> None:
        self.base = base
        self.privileged = privileged
        self.network = network

    def __enter__(self) -> Workshop:
        import docker
        import docker.errors

        self.client = docker.from_env(timeout=900)
        self.container: Any = self.client.containers.create(
            self.base,
            ["infinity"],
            entrypoint=["sleep"],
            name=f"kinda-setup-{secrets.token_hex(4)}",
            privileged=self.privileged,
            network_mode="bridge" if self.network else "none",
            init=True,
        )
        try:
            self.container.start()
        except docker.errors.APIError as error:
            self._remove()
            raise SetupError(
                f"finishing an image from {self.base}: the Docker Engine did not start the "
                f"container: {error.explanation}",
                remedy="what the engine says above must be mended; then `kinda setup` again",
            ) from None
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        self.container.remove(force=True, v=True)
        self.client.close()

    def put(self, source: Path, folder: str, *, name: str = "", executable: bool = False) -> None:
        """Copy a file, or what is in a folder, into a folder of the container."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            _add(archive, source, "." if source.is_dir() else name or source.name, executable)
        self.run("mkdir", "-p", folder)
        self.container.put_archive(folder, buffer.getvalue())

    def run(self, *command: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a program in the container and return what it wrote.

        :raises SetupError: it fails; holds its last lines.
        """
        status, output = self.container.exec_run(list(command), environment=dict(environment or {}))
        text = str(output.decode(errors="replace"))
        if status != 0:
            tail = "\n".join(text.splitlines()[-15:])
            raise SetupError(
                f"finishing an image from {self.base}: {' '.join(command)!r} ended with {status}\n"
                f"{tail}",
                remedy="the lines above are the program's own; `kinda setup` tries again",
            )
        return text

    def install_missing(self, packages: Sequence[str]) -> None:
        """Install Debian packages that the container has not; none missing needs no network.

        :raises SetupError: apt cannot reach its sources or refuses.
        """
        status = self.run("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n")
        have = {line.split()[0] for line in status.splitlines() if line.endswith(" installed")}
        missing = [package for package in packages if package not in have]
        if not missing:
            return
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        self.run("apt-get", "-qq", "update", environment=environment)
        self.run(
            "apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing,
            environment=environment,
        )  # fmt: skip
        self.run("apt-get", "clean")

    def commit(
        self, reference: str, *, recipe: str, origin: str, configuration: dict[str, Any]
    ) -> None:
        """Save the container as an image with our labels."""
        repository, tag = reference.rsplit(":", 1)
        self.container.commit(
            repository,
            tag,
            conf={
                **configuration,
                "Labels": {images.RECIPE_LABEL: recipe, images.ORIGIN_LABEL: origin},
            },
        )


def as_json(value: Sequence[str]) -> str:
    """The exec form of a Dockerfile instruction."""
    return json.dumps(list(value))


def _add(
    archive: tarfile.TarFile,
    source: Path,
    name: str,
    executable: bool,
    have: set[Path] | None = None,
) -> None:
    """Add a file, or what is in a folder; directories of ``have`` are there already."""

    def owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if "__pycache__" in member.name:
            return None
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        if member.isfile():
            # A wheel loses the bits of data files: what starts with #! is a program.
            member.mode = 0o755 if executable or _is_program(source, name, member) else 0o644
        elif member.isdir():
            member.mode = 0o755
        return member

    known = set() if have is None else have
    for path in [source, *sorted(source.rglob("*"))] if source.is_dir() else [source]:
        member = Path(name) / path.relative_to(source)
        if member in known and path.is_dir():
            continue
        if member in known:
            raise SetupError(f"{member} is in the image's tree already and would not be replaced")
        known.add(member)
        archive.add(path, str(member), recursive=False, filter=owned_by_root)


def _is_program(source: Path, name: str, member: tarfile.TarInfo) -> bool:
    path = source / Path(member.name).relative_to(name) if source.is_dir() else source
    with path.open("rb") as stream:
        return stream.read(2) == b"#!"


def import_tree(
    tree: Path,
    reference: str,
    *,
    add: Sequence[tuple[Path, str, bool]] = (),
    changes: Sequence[str] = (),
) -> None:
    """Make an image of a root file system, with files of ours laid over it.

    :param add: a file, or a folder whose content is meant, its name in the image, and whether
        it is a program whatever it starts with.
    :param changes: Dockerfile instructions (ENV, CMD, ENTRYPOINT, LABEL).
    """
    import docker

    repository, tag = reference.rsplit(":", 1)
    with tempfile.TemporaryDirectory(dir=folders.cache("trees")) as folder:
        if add:
            joined = Path(folder) / "image.tar"
            shutil.copyfile(tree, joined)
            with tarfile.open(joined, "a") as archive:
                # The engine refuses a path that is there twice, directories too.
                have = {Path(name) for name in archive.getnames()}
                for source, name, executable in add:
                    _add(archive, source, name, executable, have)
            tree = joined
        client = docker.from_env(timeout=900)
        try:
            answer = client.api.import_image_from_file(
                str(tree), repository=repository, tag=tag, changes=list(changes)
            )
        finally:
            client.close()
    if '"error"' in str(answer):
        raise SetupError(f"the engine refused a root file system as {reference}: {answer}")


def tag(reference: str, name: str) -> None:
    """Give an image another name, beside the one it has."""
    import docker

    client = docker.from_env()
    try:
        client.images.get(reference).tag(*name.rsplit(":", 1))
    finally:
        client.close()


def remove_image(reference: str) -> bool:
    """Remove an image by its name or id; False when it stays because a container uses it."""
    import docker
    import docker.errors

    client = docker.from_env()
    try:
        client.images.remove(reference)
    except docker.errors.ImageNotFound:
        return True
    except docker.errors.APIError as error:
        if error.status_code == 409:
            return False
        raise
    finally:
        client.close()
    return True


def copy_out(reference: str, path: str, target: Path) -> None:
    """Copy one program out of an image, without running it."""
    import docker

    client = docker.from_env(timeout=300)
    container = client.containers.create(reference)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            packed = Path(folder) / "packed.tar"
            stream, _ = container.get_archive(path)
            with packed.open("wb") as file:
                for chunk in stream:
                    file.write(chunk)
            with tarfile.open(packed) as archive:
                member = archive.next()
                if member is not None and member.issym():
                    copy_out(reference, str(Path(path).parent / member.linkname), target)
                    return
                content = archive.extractfile(member) if member is not None else None
                if content is None:
                    raise SetupError(f"{reference} has no program at {path}")
                made = Path(folder) / "program"
                with made.open("wb") as file:
                    shutil.copyfileobj(content, file)
            made.chmod(0o755)
            made.replace(target)
    finally:
        container.remove(force=True, v=True)
        client.close()
