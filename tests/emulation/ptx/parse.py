"""PTX text to kernels: parameters, registers, variables, instructions, labels."""

import re
from dataclasses import dataclass, field

import numpy as np

SIZE = {"pred": 1}  # bytes of a type
NUMPY = {"pred": "?"}  # its numpy type; half types are held as their bits
for _name, _letter in (("b", "u"), ("u", "u"), ("s", "i")):
    for _bytes in (1, 2, 4, 8):
        SIZE[f"{_name}{8 * _bytes}"], NUMPY[f"{_name}{8 * _bytes}"] = _bytes, f"{_letter}{_bytes}"
for _name, _bytes, _numpy in (
    ("f16", 2, "u2"), ("bf16", 2, "u2"), ("f16x2", 4, "u4"), ("bf16x2", 4, "u4"),
    ("f32", 4, "f4"), ("f64", 8, "f8"), ("f32x2", 8, "u8"),
):  # fmt: skip
    SIZE[_name], NUMPY[_name] = _bytes, _numpy


class PtxError(Exception):
    """A kernel did something wrong, or something that is not implemented here."""


@dataclass
class Instruction:
    text: str
    line: int
    parts: list[str]  # the operation and its modifiers: ["ld", "global", "f32"]
    arguments: list[str]
    predicate: str | None = None
    negated: bool = False


@dataclass
class Variable:
    space: str  # "shared", "local", "const", "global"
    align: int
    size: int | None  # None: extern __shared__, as large as the launch says
    data: bytes | None = None


@dataclass
class Kernel:
    name: str
    parameters: list[tuple[str, int, int]] = field(default_factory=list)  # name, offset, bytes
    parameter_bytes: int = 0
    max_threads: int | None = None
    registers: dict[str, str] = field(default_factory=dict)
    variables: dict[str, Variable] = field(default_factory=dict)
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)


def split(text: str) -> list[str]:
    """Split at the commas that are in no bracket."""
    out, depth, current = [], 0, ""
    for ch in text:
        depth += (ch in "[{(") - (ch in "]})")
        if ch == "," and depth == 0:
            out.append(current.strip())
            current = ""
        else:
            current += ch
    return [*out, current.strip()] if current.strip() else out


_VARIABLE = re.compile(
    r"\.(shared|const|global|local)\s+(?:\.attribute\([^)]*\)\s*)?(?:\.align\s+(\d+)\s+)?\.(\w+)\s+([\w$]+)"
    r"(\[(\d*)\])?\s*(?:=\s*\{([^}]*)\})?\s*$"
)
_PARAMETER = re.compile(
    r"\.param\s+(?:\.align\s+(\d+)\s+)?\.(\w+)\s+(?:\.ptr\S*\s+(?:\.\w+\s+)*(?:\d+\s+)?)?([\w$]+)(?:\[(\d+)\])?$"
)
_ENTRY = re.compile(r"\.entry\s+([\w$]+)\s*\((.*?)\)([^{]*)\{", re.S)


def _variable(text: str) -> tuple[str, Variable] | None:
    if not (m := _VARIABLE.match(text)):
        return None
    space, align, kind, name, array, count, initial = m.groups()
    data = None
    if initial:
        data = np.array([int(v, 0) for v in initial.split(",")], NUMPY[kind]).tobytes()
    size = None if array and not count else SIZE[kind] * int(count or 1)
    return name, Variable(space, int(align or SIZE[kind]), size, data)


class Module:
    """One PTX file."""

    def __init__(self, text: str) -> None:
        text = re.sub(r"//[^\n]*", "", text)
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        self.kernels: dict[str, Kernel] = {}
        self.variables: dict[str, Variable] = {}
        outside, position = "", 0
        while m := _ENTRY.search(text, position):
            outside += text[position : m.start()]
            depth, end = 1, m.end()
            while depth:
                depth += (text[end] == "{") - (text[end] == "}")
                end += 1
            first_line = text[: m.end()].count("\n") + 1
            self.kernels[m[1]] = _kernel(m[1], m[2], m[3], text[m.end() : end - 1], first_line)
            position = end
        outside += text[position:]
        for declaration in outside.split(";"):
            start = re.search(r"\.(shared|const|global)\b", declaration)
            if start and (found := _variable(declaration[start.start() :].strip())):
                self.variables[found[0]] = found[1]


def _kernel(name: str, parameters: str, directives: str, body: str, first_line: int) -> Kernel:
    k = Kernel(name)
    if m := re.search(r"\.maxntid\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?", directives):
        k.max_threads = int(m[1]) * int(m[2] or 1) * int(m[3] or 1)
    for parameter in split(parameters):
        if not (m := _PARAMETER.match(parameter)):
            raise PtxError(f"parameter: {parameter}")
        size = SIZE[m[2]] * int(m[4] or 1)
        align = int(m[1] or SIZE[m[2]])
        offset = -(-k.parameter_bytes // align) * align
        k.parameters.append((m[3], offset, size))
        k.parameter_bytes = offset + size
    scopes: list[dict[str, str]] = [{}]  # registers declared in { } hide those outside
    for text, line in _statements(body):
        if text == "{":
            scopes.append({})
        elif text == "}":
            scopes.pop()
        else:
            _statement(k, text, first_line + line, scopes)
    return k


def _statement(k: Kernel, text: str, line: int, scopes: list[dict[str, str]]) -> None:
    while m := re.match(r"([$\w]+):\s*", text):
        k.labels[m[1]] = len(k.code)
        text = text[m.end() :]
    if not text or re.match(r"\.(loc|pragma|branchtargets|file)\b", text):
        return
    if text.startswith(".reg"):
        kind, names = re.match(r"\.reg\s+\.(\w+)\s+(.*)", text, re.S).groups()
        for register in split(names):
            if m := re.match(r"(%?[\w$]+)<(\d+)>$", register):
                k.registers.update((f"{m[1]}{i}", kind) for i in range(int(m[2])))
            else:
                unique = f"{register}#{len(k.registers)}" if len(scopes) > 1 else register
                scopes[-1][register] = unique
                k.registers[unique] = kind
        return
    if found := _variable(text):
        k.variables[found[0]] = found[1]
        return
    m = re.match(r"(?:@(!?)([%\w$]+)\s+)?([\w.:]+)\s*(.*)", text, re.S)
    negated, predicate, operation, rest = m.groups()

    def resolve(argument: str) -> str:
        def rename(m: re.Match) -> str:
            return next((scope[m[0]] for scope in reversed(scopes) if m[0] in scope), m[0])

        return re.sub(r"%?[\w$]+", rename, argument) if len(scopes) > 1 else argument

    arguments = [resolve(a) for a in split(rest)]
    predicate = resolve(predicate) if predicate else None
    k.code.append(
        Instruction(" ".join(text.split()), line, operation.split("."), arguments, predicate, negated == "!")
    )


def _statements(body: str):
    """(statement, line) pairs; "{" and "}" of scopes come as statements of their own."""
    current, line, start, braces = "", 0, 0, 0
    for ch in body:
        if not current.strip():
            start = line
        line += ch == "\n"
        if ch == "{" and re.fullmatch(r"\s*|.*:\s*", current, re.S):
            if current.strip():
                yield current.strip(), start
            yield "{", start
            current = ""
        elif ch == "}" and not braces:
            yield "}", start
            current = ""
        elif ch == ";":
            yield current.strip(), start
            current = ""
        else:
            braces += (ch == "{") - (ch == "}")
            current += ch
