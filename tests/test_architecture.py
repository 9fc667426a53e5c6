"""The house rules: layers, names, one test file per module, public names, dependencies, start-up time."""

import ast
import importlib.metadata
import importlib.resources
import re
import resource
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest
from importlinter.cli import lint_imports
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "alignrec"
MODULES = sorted(SOURCE.rglob("*.py"))
PACKAGES = [path for path in MODULES if path.name == "__init__.py" and path.parent != SOURCE]

# Modules of optional dependencies, present here or not.
OPTIONAL = {
    "pytest",
    "hypothesis",
    "transformers",
    "sentencepiece",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "optuna",
    "matplotlib",
    "tensorboard",
    "mlflow",
    "wandb",
    "huggingface_hub",
    "faiss",
    "ray",
}

SEEDING = {"torch.manual_seed", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all", "np.random.seed", "random.seed"}


def relative(path):
    return str(path.relative_to(SOURCE))


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=relative)


# Layers and names


def test_imports_run_one_way(capsys):
    kept = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0
    assert kept, capsys.readouterr().out


def test_nothing_is_called_after_no_idea_at_all():
    vague = re.compile(r"(^|_)(utils?|common|commons|helpers?|managers?|misc|tools?|stuff)$")
    assert [relative(path) for path in MODULES if any(vague.search(part) for part in _dotted(path))] == []


def _dotted(path):
    return path.relative_to(SOURCE).with_suffix("").parts


@each([path for path in MODULES if path.name not in ("__init__.py", "__main__.py")])
def test_every_module_has_its_test_file(path):
    place = path.relative_to(SOURCE)
    assert (ROOT / "tests" / place.parent / f"test_{place.name}").is_file()


def test_no_source_file_is_longer_than_400_lines():
    assert [relative(path) for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > 400] == []


# Public names


@each(MODULES)
def test_all_lists_exactly_the_public_names(path):
    if path == SOURCE / "__main__.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names, listed = list(_defined(tree)), _listed(tree)
    assert listed is not None, "the module has no __all__"
    if path == SOURCE / "__init__.py":  # names are loaded when first used
        namespace = importlib.import_module("alignrec")
        assert [name for name in listed if not hasattr(namespace, name)] == []
        return
    if path.name == "__init__.py":
        names += _reexported(tree)
    # The name of a type may be left out: it is read in signatures, seldom imported.
    expected = {name for name in names if not name.startswith("_")} | (set(listed) & set(_type_names(tree)))
    assert sorted(listed) == sorted(expected)


def _defined(tree):
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            if not any(".command(" in ast.unparse(mark) for mark in node.decorator_list):
                yield node.name  # a registered command is public through its app
        else:
            yield from (name for name, value in _assigned(node) if not _is_type_name(name, value))


def _assigned(node):
    if isinstance(node, ast.Assign):
        yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id, node.value


def _is_type_name(name, value):
    """`Points = NDArray[np.float64]`, `T = TypeVar("T")`."""
    if isinstance(value, ast.Call):
        return ast.unparse(value.func) in ("TypeVar", "ParamSpec")
    return name[0].isupper() and not name.isupper() and isinstance(value, ast.Subscript | ast.BinOp | ast.Name)


def _type_names(tree):
    return [name for node in tree.body for name, value in _assigned(node) if _is_type_name(name, value)]


def _listed(tree):
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return ast.literal_eval(node.value)
    return None


def _reexported(tree):
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("alignrec"):
            yield from (alias.asname or alias.name for alias in node.names)


@each(PACKAGES)
def test_every_package_opens_with_in_and_out(path):
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert re.match(r"\*.+→.+\*", doc, flags=re.DOTALL), doc


def test_every_setting_says_what_it_sets():
    from alignrec.settings import Settings

    for path in MODULES:
        if path.name != "__main__.py":
            importlib.import_module(".".join(("alignrec", *_dotted(path))).removesuffix(".__init__"))
    classes, bare = [Settings], []
    while classes:
        cls = classes.pop()
        classes += cls.__subclasses__()
        if cls.__module__.startswith("alignrec."):
            bare += [f"{cls.__name__}.{name}" for name, field in cls.model_fields.items() if not field.description]
    assert bare == []


# What the code never does


def test_no_pickle_is_ever_read():
    # The exception of a refused file may be named, and torch may read tensors and plain containers.
    reads = re.compile(
        r"\b(pickle|joblib|dill|shelve|marshal)\b\s*(\.load|import(?! UnpicklingError\n))"
        r"|import (pickle|joblib|dill|shelve)"
    )
    opens = re.compile(r"\btorch\.load\((?![^()]*weights_only=True\))|allow_pickle\s*=\s*True|weights_only\s*=\s*False")
    found = {relative(p) for p in MODULES if any(r.search(p.read_text(encoding="utf-8")) for r in (reads, opens))}
    assert found == set()


def test_no_call_sets_a_global_seed():
    found = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # Inside `with torch.random.fork_rng(...)` the state outside comes back afterwards.
        forks = [n for n in ast.walk(tree) if isinstance(n, ast.With) and "fork_rng" in ast.unparse(n.items[0])]
        forked = {id(node) for fork in forks for node in ast.walk(fork)}
        calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and id(n) not in forked]
        found += [f"{relative(path)}:{call.lineno}" for call in calls if ast.unparse(call.func) in SEEDING]
    assert found == []


def test_files_name_no_path_of_somebodys_machine():
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if listed.returncode:
        pytest.skip("not a git repository")
    path = re.compile(rb"(?<![\w.~/-])/(home|root|Users|work|tmp|mnt)/[\w.-]")
    files = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    assert [str(file.relative_to(ROOT)) for file in files if file.is_file() and path.search(file.read_bytes())] == []


# Dependencies


@cache
def _requirements(name):
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return ()
    return tuple(Requirement(line) for line in lines)


def _closure(name, extras):
    """Names of all distributions that `name[extras]` pulls in here, by the metadata of what is installed."""
    seen, queue = set(), [(canonicalize_name(name), extra) for extra in ("", *extras)]
    while queue:
        current = queue.pop()
        if current in seen:
            continue
        seen.add(current)
        for requirement in _requirements(current[0]):
            if requirement.marker is None or requirement.marker.evaluate({"extra": current[1]}):
                queue += [(canonicalize_name(requirement.name), extra) for extra in ("", *requirement.extras)]
    return {name for name, _ in seen}


def _extras():
    return importlib.metadata.metadata("alignrec").get_all("Provides-Extra") or []


def test_the_closure_sees_indirect_requirements():
    assert {"torch", "sympy", "mpmath"} <= _closure("alignrec", [])
    assert "sortedcontainers" not in _closure("alignrec", [])
    assert "sortedcontainers" in _closure("alignrec", ["test"])


def test_nothing_depends_on_torchvision():
    assert "torchvision" not in _closure("alignrec", _extras())
    named = re.compile(r"^\W*(import|from)\s+torchvision|torchvision\s*[=<>~]", flags=re.MULTILINE)
    files = [*MODULES, ROOT / "constraints.txt", ROOT / "pyproject.toml"]
    assert [str(path) for path in files if named.search(path.read_text(encoding="utf-8"))] == []


def test_every_extra_is_pinned_by_the_tested_set():
    pinned = {canonicalize_name(Requirement(line).name) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    named = {canonicalize_name(r.name) for r in _requirements("alignrec")}
    assert named <= pinned


def test_the_package_imports_with_every_extra_absent():
    core = _closure("alignrec", [])
    absent = OPTIONAL | {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if {canonicalize_name(owner) for owner in owners} <= _closure("alignrec", _extras()) - core
    }
    code = """
import importlib, pkgutil, sys
from importlib.machinery import PathFinder
absent, find = set(sys.argv[1:]), PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name.partition(".")[0] in absent else find(name, *rest))
import alignrec
for module in pkgutil.walk_packages(alignrec.__path__, "alignrec."):
    if module.name != "alignrec.__main__":
        importlib.import_module(module.name)
assert not absent & set(sys.modules), absent & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, *sorted(absent)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"pytest", "hypothesis"} <= absent
    assert not absent & {"torch", "sklearn", "polars", "rich"}


# Start-up and shipping


def test_help_imports_nothing_heavy():
    code = """
import sys
from alignrec.cli import main
sys.argv = ["alignrec", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code
print(sorted({"torch", "numpy", "polars", "scipy", "sklearn", "PIL", "pydantic"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_takes_less_than_half_the_time_of_importing_torch():
    commands = {"help": ["-m", "alignrec", "--help"], "torch": ["-c", "import torch"]}
    seconds = {name: [] for name in commands}
    for _ in range(3):
        for name, words in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, *words], capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds["help"]) < min(seconds["torch"]) / 2, seconds


def test_types_are_shipped_and_so_is_the_licence(tmp_path):
    assert (importlib.resources.files("alignrec") / "py.typed").is_file()
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert "alignrec/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"alignrec"}
