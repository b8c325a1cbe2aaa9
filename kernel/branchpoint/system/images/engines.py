"""Images from a program on this computer: docker, podman or buildah."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from branchpoint import progress
from branchpoint.cache import cache_dir, disk_errors
from branchpoint.errors import ImageError
from branchpoint.system.model import Build

_INSPECT_TIMEOUT = 30  # wall seconds; a daemon that hangs counts as none


@dataclass(frozen=True)
class ContainerEngine:
    """A program that keeps images; ``program`` is docker, podman or buildah."""

    program: str

    def find(self, reference: str) -> tuple[str, str]:
        """(id of the image, "") or, when it is not there, ("", the reason)."""
        what = ["inspect", "--type", "image"] if self.program == "buildah" else ["image", "inspect"]
        template = "{{.FromImageID}}" if self.program == "buildah" else "{{.Id}}"
        try:
            result = subprocess.run(
                [self.program, *what, "--format", template, reference],
                capture_output=True, text=True, errors="replace", timeout=_INSPECT_TIMEOUT,
                stdin=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "", f"{self.program} does not answer"
        except OSError as error:
            return "", f"{self.program}: {error.strerror}"
        found = result.stdout.strip().removeprefix("sha256:")
        if result.returncode == 0 and re.fullmatch(r"[0-9a-f]{12,64}", found):
            return found, ""
        return "", f"{self.program}: {_last_line(result.stderr)}"

    def build(self, build: Build, name: str) -> str:
        """Build the image and return its id.

        :raises ImageError: with the last lines that the program printed, when it failed.
        """
        with tempfile.TemporaryDirectory(prefix="branchpoint-build-") as scratch:
            id_file = Path(scratch, "id")
            dockerfile = build.dockerfile
            if build.dockerfile_text is not None:
                inline = Path(scratch, "Dockerfile")
                inline.write_text(build.dockerfile_text)
                dockerfile = str(inline)
            elif dockerfile is not None:
                dockerfile = str(Path(build.context, dockerfile))
            command = [self.program, "build", "--iidfile", str(id_file)]
            command += ["--platform", "linux/amd64"]
            if self.program != "docker":  # otherwise HEALTHCHECK is lost, and no layer is reused
                command += ["--format", "docker", "--layers"]
            command += ["-f", dockerfile] if dockerfile else []
            command += ["--target", build.target] if build.target else []
            for key, value in build.args.items():
                command += ["--build-arg", f"{key}={value}"]
            for key, named in build.contexts.items():
                kind, place = ("", named) if named.startswith("/") else ("docker-image://", named)
                if named.startswith("oci:"):
                    kind, place = "oci-layout://", named.removeprefix("oci:")
                command += ["--build-context", f"{key}={kind}{place}"]
            for number, secret in enumerate(build.secrets):
                source = secret.source
                if secret.text is not None:
                    source = f"{scratch}/{number}"
                    Path(source).write_bytes(secret.text.encode("utf-8", "surrogateescape"))
                command += ["--secret", f"id={secret.name},src={source}"]
            with progress.task(f"building {name} with {self.program}"):
                result = subprocess.run(
                    [*command, build.context], stdin=subprocess.DEVNULL, text=True,
                    errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                )  # fmt: skip
            if result.returncode or not id_file.exists():
                tail = "\n".join(result.stdout.splitlines()[-15:])
                raise ImageError(f"{self.program} could not build {name}:\n{tail}")
            return id_file.read_text().strip().removeprefix("sha256:")

    @contextmanager
    def saved(self, image_id: str, name: str) -> Iterator[Path]:
        """A temporary docker-archive of the image.

        :raises ImageError: when the program cannot save it.
        :raises SetupError: when the cache folder cannot be written to.
        """
        folder = cache_dir()
        with (
            disk_errors(folder),
            tempfile.TemporaryDirectory(prefix=".save-", dir=folder) as scratch,
        ):
            path = Path(scratch, "image.tar")
            command = {
                "docker": ["docker", "save", "-o", str(path), image_id],
                "podman": ["podman", "save", "-o", str(path), image_id],
                "buildah": ["buildah", "push", image_id, f"docker-archive:{path}"],
            }[self.program]
            with progress.task(f"saving {name} from {self.program}"):
                result = subprocess.run(
                    command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                    errors="replace", check=False,
                )  # fmt: skip
            if result.returncode or not path.exists():
                raise ImageError(
                    f"{self.program} could not save {name}: {_last_line(result.stderr)}"
                )
            yield path


def find_image(reference: str) -> tuple[ContainerEngine, str]:
    """The first local engine that has the image, and the image's id there.

    :raises ImageError: when none has it.
    """
    reasons = []
    for program in ("docker", "podman", "buildah"):
        if shutil.which(program) is None:
            reasons.append(f"{program} is not installed")
            continue
        image_id, reason = ContainerEngine(program).find(reference)
        if image_id:
            return ContainerEngine(program), image_id
        reasons.append(reason)
    file = re.sub(r"[^A-Za-z0-9.-]+", "-", reference) + ".tar"
    raise ImageError(
        f'the image "{reference}" is not on this computer ({"; ".join(reasons)})',
        f"docker pull {reference}; or, where it is present: docker save -o {file} {reference}, "
        f"and in the compose file: image: docker-archive:./{file}",
    )


def builder() -> ContainerEngine | None:
    """The first of docker, podman and buildah that works here; None when none does."""
    for program in ("docker", "podman", "buildah"):
        if shutil.which(program) is None:
            continue
        try:
            result = subprocess.run(
                [program, "info"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                errors="replace", timeout=_INSPECT_TIMEOUT, check=False,
            )  # fmt: skip
        except (subprocess.TimeoutExpired, OSError):
            continue
        if result.returncode == 0:
            return ContainerEngine(program)
    return None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it failed without a message"
