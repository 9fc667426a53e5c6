"""Code from outside the package, which registers models and plug-ins when it is imported.

Three ways lead in: `alignrec --import FILE_OR_MODULE`, the environment variable that this sets for the processes that
are started from here, and installed packages that name a module in the entry-point group `alignrec.extensions`. The
last are imported only when a name is asked for that nobody knows yet.
"""

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from alignrec.errors import AlignrecError, UsageError

__all__ = ["ENVIRONMENT", "import_extensions", "import_inherited", "load_installed"]

ENVIRONMENT = "ALIGNREC_IMPORT"
"""Files and modules, joined as the paths in PATH are."""
_GROUP = "alignrec.extensions"


def import_extensions(names: Sequence[str]) -> None:
    """Import Python files (`*.py`) or modules, here and in every process that this one starts.

    Modules are looked for in the current folder first.

    Raises:
        UsageError: no such file or module.
        AlignrecError: its code failed.
    """
    known = [str(Path(name).resolve()) if name.endswith(".py") else name for name in names]
    for name in known:
        _import(name)
    there = [name for name in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if name]
    os.environ[ENVIRONMENT] = os.pathsep.join(dict.fromkeys([*there, *known]))


def import_inherited() -> None:
    """Import what the environment names.

    Raises:
        UsageError, AlignrecError: as `import_extensions`.
    """
    import_extensions([name for name in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if name])


@cache
def load_installed() -> None:
    """Import the extensions of installed packages, once.

    Raises:
        AlignrecError: the code of one failed.
    """
    for point in entry_points(group=_GROUP):
        _import(point.value)


def _import(name: str) -> None:
    try:
        if name.endswith(".py"):
            _import_file(Path(name))
        else:
            if str(Path.cwd()) not in sys.path:
                sys.path.insert(0, str(Path.cwd()))
            importlib.import_module(name)
    except AlignrecError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise AlignrecError(f"importing {name} failed: {error}") from error
        raise UsageError(f"no module {name!r} to import; give a file that ends in .py or a module's name") from None
    except Exception as error:  # whatever code that is not ours may raise
        raise AlignrecError(f"importing {name} failed: {type(error).__name__}: {error}") from error


def _import_file(path: Path) -> None:
    there = sys.modules.get(path.stem)
    if there is not None:
        if getattr(there, "__file__", None) == str(path):
            return
        raise UsageError(f"{path} cannot be imported, a module called {path.stem!r} is there already; rename the file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"no file {path} to import; give a file that ends in .py or a module's name")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
