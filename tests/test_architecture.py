"""The house rules of the architecture, checked by machine."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "radiomics_talent"
MODULES = sorted(PACKAGE.rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "core", "manager", "misc"}
# Statements that a module may hold at top level: anything else would happen at import.
DECLARATIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign, ast.If)
EFFECTS = {
    "open",
    "print",
    "mkdir",
    "write_text",
    "write_bytes",
    "read_text",
    "read_bytes",
    "basicConfig",
    "filterwarnings",
    "simplefilter",
    "setLevel",
}


def module_id(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).as_posix()


def test_imports_point_down_only():
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_module_is_small(path: Path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 400


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_module_has_a_subject(path: Path):
    assert not FORBIDDEN_NAMES & {part.removesuffix(".py") for part in path.relative_to(PACKAGE).parts}


@pytest.mark.parametrize("path", MODULES, ids=module_id)
def test_nothing_happens_at_import(path: Path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        assert is_docstring or isinstance(node, DECLARATIONS) or _registers_command(path, node), f"line {node.lineno}"
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr)):
            called = {_name(c.func) for c in ast.walk(node) if isinstance(c, ast.Call)}
            assert not EFFECTS & called, f"line {node.lineno}: {EFFECTS & called}"


def _registers_command(path: Path, node: ast.stmt) -> bool:
    return path.parent.name == "cli" and isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


@pytest.mark.parametrize("path", [p for p in MODULES if "@kernel" in p.read_text(encoding="utf-8")], ids=module_id)
def test_a_compiled_function_calls_compiled_functions_of_its_own_file_only(path: Path):
    """Numba's cache of a function looks at that function's file: a change elsewhere would go unnoticed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("radiomics_talent")
        for alias in node.names
    }
    kernels = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(_name(d) == "kernel" for d in node.decorator_list)
    ]
    assert kernels
    for function in kernels:
        called = {_name(c.func) for c in ast.walk(function) if isinstance(c, ast.Call)}
        assert not called & imported, function.name


def test_help_imports_nothing_heavy():
    code = (
        "import sys, radiomics_talent, radiomics_talent.cli;"
        "heavy = ('SimpleITK', 'pandas', 'sklearn', 'pydicom', 'numpy', 'matplotlib', 'numba');"
        "print([m for m in heavy if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
