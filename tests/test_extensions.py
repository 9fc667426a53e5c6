"""Models and plug-ins of one's own reach every process, by file, module or installed package."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignrec.errors import AlignrecError, UsageError
from alignrec.extensions import ENVIRONMENT, import_extensions, import_inherited

PLUGIN = """
from alignrec.losses import Plugin, register_plugin
from alignrec.settings import Settings

class Nothing(Plugin):
    class Config(Settings):
        weight: float = 1.0

    def forward(self, reps, batch):
        return {"items": 0 * reps.final.items.sum()}

register_plugin("NAME", Nothing)
"""


pytestmark = pytest.mark.usefixtures("forgotten_extensions")


def knows(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Ask a new process for plug-in `name`, as a study's process would."""
    code = (
        "from alignrec.extensions import import_inherited; import_inherited();"
        f"from alignrec.losses import plugin_class; print(plugin_class({name!r}).__module__)"
    )
    return subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True)


def test_a_file_is_imported_here_and_in_processes_started_from_here(tmp_path: Path) -> None:
    file = tmp_path / "registers_one.py"
    file.write_text(PLUGIN.replace("NAME", "one-of-a-file"))
    import_extensions([str(file)])
    import_extensions([str(file)])  # once more changes nothing
    assert os.environ[ENVIRONMENT] == str(file)
    assert knows("one-of-a-file").stdout == "registers_one\n"


def test_a_module_is_looked_for_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_package").mkdir()
    (tmp_path / "a_package" / "mine.py").write_text(PLUGIN.replace("NAME", "one-of-a-module"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ENVIRONMENT, "a_package.mine")
    import_inherited()
    assert knows("one-of-a-module").stdout == "a_package.mine\n"


def test_an_installed_package_is_imported_when_its_name_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "installed_one.py").write_text(PLUGIN.replace("NAME", "one-of-a-package"))
    about = tmp_path / "installed_one-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: installed-one\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[alignrec.extensions]\nmine = installed_one\n")
    assert knows("one-of-a-package", PYTHONPATH=str(tmp_path)).stdout == "installed_one\n"
    without = knows("one-of-a-package")
    assert "unknown plugin 'one-of-a-package'" in without.stderr


def test_what_cannot_be_imported_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no file .*gone\.py to import; give a file that ends in \.py or a module's"):
        import_extensions([str(tmp_path / "gone.py")])
    with pytest.raises(UsageError, match=r"no module 'no_such_package\.models' to import"):
        import_extensions(["no_such_package.models"])
    (tmp_path / "json.py").write_text("")
    with pytest.raises(UsageError, match="a module called 'json' is there already; rename the file"):
        import_extensions([str(tmp_path / "json.py")])
    assert os.environ[ENVIRONMENT] == ""


@pytest.mark.parametrize(
    ("code", "says"),
    [("1 / 0", "ZeroDivisionError: division by zero"), ("import no_such", "No module named 'no_such'")],
)
def test_code_that_fails_is_named_with_its_error(tmp_path: Path, code: str, says: str) -> None:
    file = tmp_path / "fails_when_imported.py"
    file.write_text(code)
    with pytest.raises(AlignrecError, match=f"importing .*fails_when_imported.py failed: {says}"):
        import_extensions([str(file)])
    assert "fails_when_imported" not in sys.modules
