"""Reads as much of a ClickHouse statement as a server must know before it runs it.

Where data begins in an INSERT, which format is asked for, what the statement starts
with, and whether it reaches for files or the network. The engine parses for itself;
in doubt this lexer takes text for code, so that nothing hides from the checks in quotes.
"""

import itertools
import re
from collections.abc import Iterator

import msgspec

READING = frozenset({"select", "with", "show", "describe", "desc", "explain", "exists", "(", "from"})
STREAMABLE = frozenset({"select", "with", "(", "from"})

_TOKEN = re.compile(
    rb"(?P<blank>\s+|--[^\n]*|\#[ !][^\n]*)"
    rb"|(?P<comment>/\*)"
    rb"|(?P<text>'(?:[^'\\]|\\.|'')*'|\xe2\x80\x98.*?\xe2\x80\x99|(?P<fence>\$\w*\$).*?(?P=fence))"
    rb"|(?P<quoted>`(?:[^`\\]|\\.|``)*`|\"(?:[^\"\\]|\\.|\"\")*\"|\xe2\x80\x9c.*?\xe2\x80\x9d)"
    rb"|(?P<word>[A-Za-z_]\w*)"
    rb"|(?P<number>\d\w*)"
    rb"|(?P<sign>.)",
    re.DOTALL,
)
_COMMENT_EDGE = re.compile(rb"/\*|\*/")


class Token(msgspec.Struct, frozen=True):
    """A word (in lower case), a quoted name, a text or a sign, and where it ends."""

    kind: str
    value: str
    end: int


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What the server knows about a statement."""

    first_word: str
    output_format: str | None = None
    insert_head: bytes | None = None
    insert_data: bytes = b""
    called: frozenset[str] = frozenset()
    touches_files: bool = False
    is_several: bool = False

    @property
    def only_reads(self) -> bool:
        return self.first_word in READING


def read_statement(sql: bytes) -> Statement:
    """Analyse one statement; an INSERT is read up to the data behind its FORMAT clause."""
    tokens: list[Token] = []
    depth = 0
    for token in _tokens(sql):
        tokens.append(token)
        depth += {"(": 1, ")": -1}.get(token.value, 0) if token.kind == "sign" else 0
        if depth == 0 and _ends_insert_head(tokens):
            return _insert_with_data(sql, tokens)
    return _statement(tokens)


def _tokens(sql: bytes) -> Iterator[Token]:
    position = 0
    while match := _TOKEN.match(sql, position):
        position = match.end()
        kind = match.lastgroup or ""
        if kind == "comment":
            position = _after_comment(sql, position)
        elif kind != "blank":
            text = match[0].decode("utf-8", "replace")
            kind = "text" if kind == "fence" else kind
            yield Token(kind, text.lower() if kind in ("word", "quoted") else text, position)


def _after_comment(sql: bytes, position: int) -> int:
    depth = 1
    while depth and (edge := _COMMENT_EDGE.search(sql, position)):
        depth += 1 if edge[0] == b"/*" else -1
        position = edge.end()
    return len(sql) if depth else position


def _ends_insert_head(tokens: list[Token]) -> bool:
    if len(tokens) < 3 or tokens[0].value != "insert" or tokens[-1].kind != "word":  # noqa: PLR2004 - INSERT t FORMAT f
        return False
    return tokens[-2].kind == "word" and tokens[-2].value == "format" and tokens[-3].value not in (".", "into", "table")


def _insert_with_data(sql: bytes, tokens: list[Token]) -> Statement:
    keyword, name = tokens[-2], tokens[-1]
    data = re.sub(rb"\A[ \t\f]*\r?\n?", b"", sql[name.end :], count=1)
    spelled = sql[name.end - len(name.value) : name.end].decode()
    plain = _statement(tokens[:-2])
    head = sql[: keyword.end - len("format")]
    return msgspec.structs.replace(plain, output_format=spelled, insert_head=head, insert_data=data)


def _statement(tokens: list[Token]) -> Statement:
    pairs = list(itertools.pairwise(tokens))
    called = {_name(token) for token, following in pairs if following.value == "(" and token.kind in ("word", "quoted")}
    files = any(pair in (("into", "outfile"), ("from", "infile")) for pair in ((a.value, b.value) for a, b in pairs))
    last = max((number for number, token in enumerate(tokens) if token.value != ";"), default=0)
    return Statement(
        first_word=tokens[0].value if tokens else "",
        output_format=_output_format(tokens),
        called=frozenset(called),
        touches_files=files,
        is_several=any(token.kind == "sign" and token.value == ";" for token in tokens[:last]),
    )


def _name(token: Token) -> str:
    # An escape in a quoted name could spell any function, so such a name stands for all of them.
    return "\\" if "\\" in token.value else token.value.strip('`"“”')


def _output_format(tokens: list[Token]) -> str | None:
    for before, after in zip(reversed(tokens[:-1]), reversed(tokens), strict=False):
        if (before.kind, before.value, after.kind) == ("word", "format", "word"):
            return after.value
        if after.value == ")":
            return None
    return None
