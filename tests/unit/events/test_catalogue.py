"""Everything that the code emits is in the catalogue, and the documentation is the catalogue."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sync.events.catalogue import CATALOGUE, EventType, find, markdown

ROOT = Path(__file__).parents[3]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    path: Path
    tree: ast.Module

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def calls(self, name: str) -> Iterator[ast.Call]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call) and _name(node.func) == name:
                yield node


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


MODULES = [Module(path, ast.parse(path.read_text())) for path in sorted((ROOT / "sync").rglob("*.py"))]


def emitted() -> set[str]:
    """The types of all `Event(...)` in the code, variables in them followed to where their values are written."""
    found: set[str] = set()
    for module in MODULES:
        for function in module.functions():
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                if _name(call.func) == "Event" and len(call.args) > 1:
                    found |= values(call.args[1], function, module)
    return found


def values(node: ast.expr, function: Function, module: Module) -> set[str]:
    """Every text that an expression can be."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp():
            return values(node.body, function, module) | values(node.orelse, function, module)
        case ast.JoinedStr():
            return joined(node, function, module)
        case ast.Call(func=ast.Attribute(value=ast.Dict(values=options), attr="get"), args=[_, default]):
            return {text for one in [*options, default] for text in values(one, function, module)}
        case ast.Attribute(attr=name):
            return fields(name, module)
        case ast.Name(id=name):
            return variable(name, function, module)
    raise AssertionError(f"{module.path}: cannot follow {ast.unparse(node)}")


def joined(node: ast.JoinedStr, function: Function, module: Module) -> set[str]:
    texts = {""}
    for part in node.values:
        more = values(part.value if isinstance(part, ast.FormattedValue) else part, function, module)
        texts = {text + one for text in texts for one in more}
    return texts


def fields(name: str, module: Module) -> set[str]:
    """What a field of a class of this module is given where objects of it are made."""
    found: set[str] = set()
    for made in (node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)):
        names = [part.target.id for part in made.body if isinstance(part, ast.AnnAssign) and _name(part.target)]
        if name in names:
            for call in module.calls(made.name):
                given = [*call.args[names.index(name) : names.index(name) + 1]]
                given += [keyword.value for keyword in call.keywords if keyword.arg == name]
                found |= {one.value for one in given if isinstance(one, ast.Constant)}
    assert found, f"{module.path}: cannot follow the field {name}"
    return found


def variable(name: str, function: Function, module: Module) -> set[str]:
    parameters = [argument.arg for argument in function.args.args]
    if name not in parameters:
        assigned = [
            node.value
            for node in (*ast.walk(function), *module.tree.body)
            if isinstance(node, ast.Assign) and any(_name(target) == name for target in node.targets)
        ]
        assert assigned, f"{module.path}: nobody assigns {name}"
        return {text for one in assigned for text in values(one, function, module)}
    found: set[str] = set()
    for other in MODULES:
        if function.name.startswith("_") and other.path != module.path:
            continue
        for caller in other.functions():
            for call in (node for node in ast.walk(caller) if isinstance(node, ast.Call)):
                if _name(call.func) != function.name:
                    continue
                place = parameters.index(name) - ("self" in parameters and isinstance(call.func, ast.Attribute))
                given = [keyword.value for keyword in call.keywords if keyword.arg == name]
                given += call.args[place : place + 1]
                found |= {text for one in given for text in values(one, caller, other)}
    return found


def test_every_type_that_the_code_emits_is_listed_and_every_listed_one_emitted() -> None:
    types = emitted()
    assert len(types) > 20
    assert {type for type in types if find(type) is None} == set()
    assert {entry.type for entry in CATALOGUE if "{" not in entry.type} - types == set()


def test_types_are_dotted_and_listed_once() -> None:
    assert len({(entry.type, entry.version) for entry in CATALOGUE}) == len(CATALOGUE)
    for entry in CATALOGUE:
        assert re.fullmatch(r"[a-z]+(\.(\{[a-z]+\}|[a-z_]+))+", entry.type)
        assert entry.when.endswith(".") and entry.subject


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.type)
def test_schemas_are_json_schema(entry: EventType) -> None:
    schema = entry.schema()
    assert set(schema["required"]) <= schema["properties"].keys()
    assert all("type" in field for field in schema["properties"].values())


def test_families() -> None:
    assert find("data.orders.inserted") is not None and find("data.orders.inserted").type == "data.{table}.inserted"  # type: ignore[union-attr]
    assert find("data.shop.orders.deleted") is not None
    assert find("data..inserted") is None and find("data.inserted") is None and find("nothing.happened") is None


def test_the_documentation_is_the_catalogue() -> None:
    text = (ROOT / "docs" / "events.md").read_text()
    assert markdown() in text, "python -m sync.events.catalogue prints what belongs there"
