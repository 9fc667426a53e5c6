"""`alignrec doctor`: what is installed, what this machine offers, and what to do where something lacks."""

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from alignrec.cli.output import JsonFlag, print_json

__all__ = ["doctor"]

_DISK_NEEDED = 2.0  # GB: a shop, its features and two runs with their checkpoints fit
_CONTAINER_MEMORY = Path("/sys/fs/cgroup/memory.max")  # bytes
_MEMORY_NEEDED = 4.0  # GB


def doctor(
    folder: Annotated[Path, typer.Option(help="Folder whose disk is looked at.")] = Path(),
    json: JsonFlag = False,
) -> None:
    """Show what is installed and what this machine offers, and advise."""
    about = _examine(folder)
    if json:
        print_json(about)
        return
    for name in ("versions", "machine", "extras"):
        typer.echo(name)
        for key, value in about[name].items():
            typer.echo(f"  {key:<16} {_show(value)}")
    typer.echo("advice" if about["advice"] else "advice: nothing is missing")
    for line in about["advice"]:
        typer.echo(f"  {line}")


def _examine(folder: Path) -> dict[str, Any]:  # Any: JSON values
    required, extras = _requirements()
    versions = {"alignrec": _version("alignrec"), "python": platform.python_version()}
    versions |= {name: _version(name) for name in required}
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        **_torch(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory GB": _memory(),
        "free disk GB": round(shutil.disk_usage(_existing(folder)).free / 1e9, 1),
    }
    states = {name: [part for part in needed if _version(part) is None] for name, needed in extras.items()}
    about: dict[str, Any] = {"versions": versions, "machine": machine}
    about["extras"] = {name: {"installed": not lacking, "missing": lacking} for name, lacking in states.items()}
    return about | {"advice": _advise(about)}


def _advise(about: dict[str, Any]) -> list[str]:
    machine, advice = about["machine"], []
    for name, version in about["versions"].items():
        if version is None:
            advice.append(f"{name} is not installed; run: pip install alignrec")
    if machine["torch build"].startswith("cannot"):
        advice.append("torch cannot be imported; install it again")
    for name, state in about["extras"].items():
        if not state["installed"]:
            advice.append(f"for extra {name!r} ({', '.join(state['missing'])}) run: pip install 'alignrec[{name}]'")
    if machine["torch build"] == "CPU" and shutil.which("nvidia-smi"):
        advice.append("there is an NVIDIA driver but torch is a CPU build; install a CUDA build of torch to use it")
    if machine["torch build"].startswith("CUDA") and not machine["cuda devices"]:
        advice.append("torch is a CUDA build but finds no device; use --device cpu, or the smaller CPU build of torch")
    if machine["free disk GB"] < _DISK_NEEDED:
        advice.append(f"less than {_DISK_NEEDED:g} GB of disk are free; free some or write with --out elsewhere")
    if machine["memory GB"] is not None and machine["memory GB"] < _MEMORY_NEEDED:
        advice.append(f"less than {_MEMORY_NEEDED:g} GB of memory; keep datasets small and batches short")
    return advice


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """Names of the required distributions, and of those each extra adds."""
    required: list[str] = []
    metadata = importlib.metadata.metadata("alignrec")
    extras: dict[str, list[str]] = {name: [] for name in metadata.get_all("Provides-Extra") or []}
    for line in importlib.metadata.requires("alignrec") or []:
        found = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", line)
        if found:
            (extras[extra[1]] if extra else required).append(found[0].lower())
    return required, extras


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch() -> dict[str, Any]:  # Any: JSON values
    try:
        import torch  # heavy, and this command should say so where it lacks
    except ImportError as error:
        return {"torch build": f"cannot be imported ({error})", "cuda devices": [], "threads": None}
    return {
        "torch build": f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU",
        "cuda devices": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "threads": torch.get_num_threads(),
    }


def _memory() -> float | None:
    """Memory in GB that may be used, where the system says: of the machine, or of the container if that is less."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, AttributeError, OSError):
        return None
    with contextlib.suppress(OSError, ValueError):  # no container, or "max"
        machine = min(machine, int(_CONTAINER_MEMORY.read_text()))
    return round(machine / 1e9, 1)


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _show(value: object) -> str:
    if isinstance(value, dict):
        return "installed" if value["installed"] else f"missing: {', '.join(value['missing'])}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "unknown" if value is None else str(value)
