"""The defects: every place in a module where one small change makes another program.

A mutant replaces the text of one node of the syntax tree. Left alone are annotations, texts (messages are not behaviour) and what stands in formatted
texts. Tables at module level are changed too: an entry taken away, a value exchanged for its neighbour's.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Mutant(NamedTuple):
    """One change: the bytes `start` to `end` of the source become `text`. `function` is the outermost one around it, empty at module level.

    `before` and `after` say what changes, for a person; `at` is the line on which it does. `lines` are the first and last line of the statement (of a
    compound one its head), for asking which tests run it.
    """

    line: int
    function: str
    lines: tuple[int, int]
    at: str
    before: str
    after: str
    start: int
    end: int
    text: str

    def applied(self, source: str) -> str:
        """The source with this change."""
        whole = source.encode()
        return (whole[: self.start] + self.text.encode() + whole[self.end :]).decode()


_COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a module that compiles and differs from it, in the order of its lines."""
    return [found for found in candidates(source) if compiles(found.applied(source))]


def candidates(source: str) -> list[Mutant]:
    """Every change that differs from the module, in the order of its lines; some are no program."""
    finder = _Finder(source)
    finder.block(ast.parse(source).body)
    found = {(m.start, m.end, m.text): m for m in finder.found if m.before != m.text}
    return sorted(found.values(), key=lambda m: (m.start, m.end, m.text))


def compiles(source: str) -> bool:
    """Whether a source is a program."""
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


class _Finder:
    def __init__(self, source: str) -> None:
        self.found: list[Mutant] = []
        self._bytes = source.encode()
        self._lines = source.splitlines()
        self._offsets = [0]
        for line in self._bytes.splitlines(keepends=True):
            self._offsets.append(self._offsets[-1] + len(line))
        self._classes: list[str] = []
        self._function = ""
        self._span = (1, 1)
        self._told: set[int] = set()

    # Statements

    def block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, node: ast.stmt) -> None:
        outer, self._span = self._span, _head(node)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None), *node.decorator_list):
                    self._expression(default)
                function, self._function = self._function, self._function or ".".join((*self._classes, node.name))
                self.block(node.body)
                self._function = function
            case ast.ClassDef():
                self._classes.append(node.name)
                self.block(node.body)
                self._classes.pop()
            case ast.AnnAssign():
                if node.value is not None:
                    self._assigned(node.value)
            case ast.Import() | ast.ImportFrom() | ast.Global() | ast.Nonlocal() | ast.Pass():
                pass
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pass
            case _:
                self._change(node)
                for child in _children(node):
                    if isinstance(child, ast.stmt):
                        self._statement(child)
                    else:
                        self._expression(child)
        self._span = outer

    def _change(self, node: ast.stmt) -> None:
        match node:
            case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise() | ast.Delete() | ast.Return(value=None):
                self._put(node, "pass")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                self._put(node, "pass")
                self._assigned(node.value)
            case ast.Assign():
                self._assigned(node.value)
            case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
                self._put(value, "None")
            case ast.Break():
                self._put(node, "continue")
            case ast.Continue():
                self._put(node, "break")
            case ast.If(test=test):
                self._put(test, "True")
                self._put(test, "False")
            case ast.While(test=test) if not isinstance(test, ast.Constant):
                self._put(test, "False")

    def _assigned(self, value: ast.expr) -> None:
        """What is assigned; at module level a table is changed entry by entry."""
        if isinstance(value, ast.Call) and len(value.args) == 1:
            self._table(value.args[0])
        self._table(value)
        self._expression(value)

    def _table(self, value: ast.expr) -> None:
        if self._function:
            return
        if isinstance(value, ast.Tuple):
            self._fewer(value)
        if isinstance(value, ast.Dict):
            items = list(zip(value.keys, value.values, strict=True))
            for number, (key, item) in enumerate(items):
                others = [other for _, other in (*items[number + 1 :], *items[:number]) if ast.dump(other) != ast.dump(item)]
                if others:
                    self._put(item, ast.unparse(others[0]))
                if key is not None:
                    rest = [pair for pair in items if pair[0] is not key]
                    self._put(value, ast.unparse(ast.Dict([k for k, _ in rest], [v for _, v in rest])), without=key)

    # Expressions

    def _expression(self, node: ast.AST) -> None:
        if isinstance(node, ast.JoinedStr):
            return
        if isinstance(node, ast.expr):
            self._exchange(node)
        if isinstance(node, ast.comprehension):
            for test in node.ifs:
                self._put(test, "True")
        for child in _children(node):
            self._expression(child)

    def _exchange(self, node: ast.expr) -> None:
        match node:
            case ast.Compare():
                if all(isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for operator in node.ops):
                    # A limit that is off by one is the other operator already.
                    self._told |= {id(side) for side in (node.left, *node.comparators)}
                for number, operator in enumerate(node.ops):
                    for other in _COMPARE[type(operator)]:
                        ops = [*node.ops[:number], other(), *node.ops[number + 1 :]]
                        self._put(node, f"({ast.unparse(ast.Compare(node.left, ops, node.comparators))})")
                    if isinstance(operator, ast.In | ast.NotIn):
                        self._fewer(node.comparators[number])
            case ast.BoolOp():
                for number in range(len(node.values)):
                    rest = [*node.values[:number], *node.values[number + 1 :]]
                    kept = rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)
                    self._put(node, f"({ast.unparse(kept)})")
                self._put(node, f"({ast.unparse(ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values))})")
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                self._put(node, f"({ast.unparse(node.operand)})")
            case ast.BinOp(op=ast.BitOr()):
                self._put(node, f"({ast.unparse(node.left)})")
                self._put(node, f"({ast.unparse(node.right)})")
            case ast.BinOp() if type(node.op) in _ARITHMETIC and not any(_is_text(side) for side in (node.left, node.right)):
                self._put(node, f"({ast.unparse(ast.BinOp(node.left, _ARITHMETIC[type(node.op)](), node.right))})")
            case ast.IfExp(test=test):
                self._put(test, "True")
                self._put(test, "False")
            case ast.Set():
                self._fewer(node)
            case ast.Call(func=ast.Name(id=name)) if name in _NAMES:
                self._put(node.func, _NAMES[name])
            case ast.Constant(value=bool() as value):
                self._put(node, str(not value))
            case ast.Constant(value=int() as number) if id(node) not in self._told:
                self._put(node, str(number + 1))
                if number == 1:
                    self._put(node, "0")
            case ast.Constant(value=float() as number):
                self._put(node, repr(number * 10))

    def _fewer(self, node: ast.expr) -> None:
        """The collection without each of its elements."""
        if isinstance(node, ast.Tuple | ast.Set):
            for number, element in enumerate(node.elts):
                rest = [*node.elts[:number], *node.elts[number + 1 :]]
                fewer = ast.Tuple(rest, ast.Load()) if isinstance(node, ast.Tuple) else ast.Set(rest)
                self._put(node, ast.unparse(fewer) if rest or isinstance(node, ast.Tuple) else "set()", without=element)

    def _put(self, node: ast.expr | ast.stmt, text: str, *, without: ast.expr | None = None) -> None:
        start, end = self._at(node)
        shown = node if without is None else without
        first, last = self._at(shown)
        before = self._bytes[first:last].decode()
        after = text if without is None else "(taken away)"
        at = self._lines[shown.lineno - 1].strip()
        self.found.append(Mutant(shown.lineno, self._function, self._span, at, before, after, start, end, text))

    def _at(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._offsets[node.lineno - 1] + node.col_offset, self._offsets[node.end_lineno - 1] + node.end_col_offset


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one that can be executed: no annotations, no contexts."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "ctx", "ops", "op"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.pattern):
                yield child


def _head(node: ast.stmt) -> tuple[int, int]:
    """First and last line of a statement; of a compound one, what stands before its block."""
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    last = node.end_lineno or node.lineno
    if not body:
        return node.lineno, last
    first = body[0].pattern if isinstance(body[0], ast.match_case) else body[0]
    return node.lineno, max(node.lineno, first.lineno - 1)
