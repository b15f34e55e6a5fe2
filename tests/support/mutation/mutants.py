"""The mutants of a module: every single change that the runner may make to its source."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property

COMPARISONS: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="), ast.LtE: ("<", ">"), ast.Gt: (">=", "<="), ast.GtE: (">", "<"), ast.Eq: ("!=",),
    ast.NotEq: ("==",), ast.Is: ("is not",), ast.IsNot: ("is",), ast.In: ("not in",), ast.NotIn: ("in",),
}  # fmt: skip
OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "*"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
}  # fmt: skip
#: Functions and methods that are each other's opposite.
TWINS = {"min": "max", "any": "all", "and_": "or_"}
METHOD_TWINS = {"in_": "not_in", "is_": "is_not", "asc": "desc", "least": "greatest"}
TWINS |= {other: one for one, other in TWINS.items()}
METHOD_TWINS |= {other: one for one, other in METHOD_TWINS.items()}
#: Calls whose positional arguments are conditions: one of them is left out at a time.
CONDITIONS = frozenset({"where", "having", "filter", "and_", "or_", "any", "all"})
#: Calls whose positional arguments may come in any order.
SYMMETRIC = frozenset({"min", "max", "gcd", "isclose"})
LOG_METHODS = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log"})
CACHES = frozenset({"cache", "lru_cache", "cached_property"})
UNTOUCHED_CALLS = frozenset({"cast", "TypeVar", "ParamSpec", "NewType", "getLogger", "overload"})


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    :ivar path: the file, relative to the root of the project.
    :ivar start: the first byte of what is replaced; ``end`` is the byte after the last.
    :ivar text: what stands there instead.
    :ivar change: what is replaced by what, in one line.
    :ivar first_line: the first line of what is replaced; ``last_line`` its last.
    :ivar statement: the lines of the statement around it.
    :ivar at_import: whether the change is evaluated when the module is imported, or once a process.
    """

    path: str
    start: int
    end: int
    text: str
    change: str
    first_line: int
    last_line: int
    statement: tuple[int, int]
    at_import: bool

    def apply(self, source: bytes) -> bytes:
        """Return the source with the change made."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """List every mutant of a module's source in the order of the source; a few may not be valid, see :func:`is_valid`."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    found = {(mutant.start, mutant.end, mutant.text): mutant for mutant in finder.found}
    return [mutant for _, mutant in sorted(found.items())]


def is_valid(mutant: Mutant, source: bytes) -> bool:
    """Return whether a mutant compiles and differs from the original."""
    changed = mutant.apply(source)
    try:
        compile(changed, mutant.path, "exec", dont_inherit=True)
        return ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))
    except (SyntaxError, ValueError):
        return False


def name_of(node: ast.expr) -> str:
    """Return the last part of a name: ``c`` for ``a.b.c``."""
    if isinstance(node, ast.Call):
        return name_of(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_log_call(node: ast.AST) -> bool:
    """Return whether a node calls a method of a logger."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOG_METHODS):
        return False
    return "log" in name_of(node.func.value).lower()


class _Finder(ast.NodeVisitor):
    """Walks a module and collects its mutants."""

    def __init__(self, path: str, source: bytes) -> None:
        self.found: list[Mutant] = []
        self._path = path
        self._source = source
        self._statement: ast.stmt | None = None
        self._in_function = False

    @cached_property
    def _line_starts(self) -> list[int]:
        return [0, 0] + [match.end() for match in re.finditer(rb"\n", self._source)]

    def _span(self, node: ast.expr | ast.stmt | ast.keyword) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._line_starts[node.lineno] + node.col_offset
        return start, self._line_starts[node.end_lineno] + node.end_col_offset

    def _text(self, node: ast.expr | ast.stmt) -> str:
        start, end = self._span(node)
        return self._source[start:end].decode()

    def _replace(self, start: int, end: int, text: str, change: str | None = None) -> None:
        old = self._source[start:end].decode()
        line = self._source.count(b"\n", 0, start) + 1
        statement = self._statement
        lines = (statement.lineno, statement.end_lineno or statement.lineno) if statement else (line, line)
        self.found.append(
            Mutant(
                self._path, start, end, text, " ".join((change or f"{old} -> {text}").split()), line,
                line + old.count("\n"), lines, not self._in_function,
            )
        )  # fmt: skip

    def _replace_node(self, node: ast.expr | ast.stmt, text: str) -> None:
        self._replace(*self._span(node), text)

    def _replace_between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        """Replace the operator that stands between two operands."""
        (_, start), (end, _) = self._span(left), self._span(right)
        pattern = re.compile(rb"(?<![\w*/<>=!])" + rb"\s+".join(map(re.escape, old.encode().split())) + rb"(?![\w*/=])")
        match = pattern.search(self._source, start, end)
        if match:
            self._replace(match.start(), match.end(), new, f"{self._text(left)} {old} -> {new} {self._text(right)}")

    # Statements

    def visit(self, node: ast.AST) -> None:
        if not isinstance(node, ast.stmt):
            super().visit(node)
            return
        if _is_untouched(node):
            return
        outer, self._statement = self._statement, _header(node)
        self._remove(node)
        super().visit(node)
        self._statement = outer

    def _remove(self, node: ast.stmt) -> None:
        removable = isinstance(node, (ast.Expr, ast.AugAssign, ast.Raise, ast.Delete, ast.Continue, ast.Break))
        if isinstance(node, ast.Assign):
            removable = not any(isinstance(target, (ast.Name, ast.Tuple)) for target in node.targets)
        if removable:
            self._replace_node(node, "pass")

    def _visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for default in [*node.args.defaults, *(each for each in node.args.kw_defaults if each)]:
            self.visit(default)
        for decorator in node.decorator_list:
            self.visit(decorator)
        outer = self._in_function
        self._in_function = not CACHES & {name_of(decorator) for decorator in node.decorator_list}
        for statement in node.body:
            self.visit(statement)
        self._in_function = outer

    visit_FunctionDef = visit_AsyncFunctionDef = _visit_function  # noqa: N815

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:  # a decorator such as @dataclass(frozen=True) changes no behaviour worth a test
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value and not _is_constant(node.value, None):
            if not _is_constant(node.value, False):  # whoever asks whether it is true takes None for it
                self._replace_node(node.value, "None")
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self._negate(node.test)
            self.generic_visit(node)
        else:
            for statement in node.body:
                self.visit(statement)

    def visit_match_case(self, node: ast.match_case) -> None:
        if node.guard:
            self._negate(node.guard)
        self.generic_visit(node)

    def visit_MatchValue(self, node: ast.MatchValue) -> None:
        self._change_text(node.value)

    # Expressions

    def _negate(self, test: ast.expr) -> None:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return  # visit_UnaryOp drops the `not`
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            return  # visit_Compare has the opposite
        self._replace_node(test, f"not ({self._text(test)})")

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self._negate(test)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, node.comparators, strict=False):
            old = _SPELLED[type(operator)]
            for new in COMPARISONS[type(operator)]:
                self._replace_between(left, right, old, new)
        for operand in operands:
            self._change_text(operand)
        self.generic_visit(node)

    def _change_text(self, operand: ast.expr) -> None:
        """Change a text that is compared."""
        for each in operand.elts if isinstance(operand, (ast.Tuple, ast.List, ast.Set)) else [operand]:
            if isinstance(each, ast.Constant) and isinstance(each.value, (str, bytes)):
                changed = each.value + "XX" if isinstance(each.value, str) else each.value + b"XX"
                self._replace_node(each, repr(changed))

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._replace_between(left, right, old, new)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        texts = any(
            isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, (str, bytes)))
            for side in (node.left, node.right)
        )
        if type(node.op) in OPERATORS and not texts:
            self._replace_between(node.left, node.right, *OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub)):
            self._replace_node(node, f"({self._text(node.operand)})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace_node(node, str(not node.value))
        elif isinstance(node.value, (int, float)):
            for step in (1, -1) if node.value else (1,):
                self._replace_node(node, repr(node.value + step))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        _, end = self._span(node)
        if node.attr in METHOD_TWINS:
            self._replace(end - len(node.attr), end, METHOD_TWINS[node.attr])
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in TWINS and isinstance(node.ctx, ast.Load):
            self._replace_node(node, TWINS[node.id])

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        return  # a message; and Python 3.11 does not know where its parts stand

    def visit_Call(self, node: ast.Call) -> None:
        if is_log_call(node) or name_of(node.func) in UNTOUCHED_CALLS:
            return
        for keyword in node.keywords:
            if keyword.arg:
                self._leave_out(keyword, f"{keyword.arg}={self._text(keyword.value)}")
        plain = [arg for arg in node.args if not isinstance(arg, (ast.Starred, ast.GeneratorExp))]
        if name_of(node.func) in CONDITIONS and len(plain) > 1:
            for arg in plain:
                self._leave_out(arg, self._text(arg))
        elif len(plain) > 1 and plain == node.args and name_of(node.func) not in SYMMETRIC:
            self._swap(plain[0], plain[1])
        self.generic_visit(node)

    def _leave_out(self, argument: ast.expr | ast.keyword, text: str) -> None:
        start, end = self._span(argument)
        comma = re.compile(rb"\s*,").match(self._source, end)
        self._replace(start, comma.end() if comma else end, "", f"{text} left out")

    def _swap(self, first: ast.expr, second: ast.expr) -> None:
        one, other = self._text(first), self._text(second)
        (start, after), (before, end) = self._span(first), self._span(second)
        between = self._source[after:before].decode()
        if one != other:
            self._replace(start, end, f"{other}{between}{one}", f"{one}, {other} -> {other}, {one}")


_SPELLED: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is",
    ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip


def _header(node: ast.stmt) -> ast.stmt:
    """Return a statement without its body: the lines that run when the statement itself does."""
    body = getattr(node, "body", None)
    if not body:
        return node
    header = ast.Pass()
    header.lineno, header.end_lineno = node.lineno, max(node.lineno, body[0].lineno - 1)
    return header


def _is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_untouched(node: ast.stmt) -> bool:
    """Return whether a statement does nothing that a test could notice."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) or is_log_call(node.value)
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Assert)):
        return True
    if isinstance(node, ast.If):
        return name_of(node.test) == "TYPE_CHECKING"
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)
