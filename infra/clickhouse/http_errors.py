"""ClickHouse's exceptions as its HTTP interface reports them: code, text and status."""

import re

CODES = {
    "BAD_ARGUMENTS": 36,
    "NOT_IMPLEMENTED": 48,
    "UNKNOWN_FORMAT": 73,
    "SYNTAX_ERROR": 62,
    "UNKNOWN_COMPRESSION_METHOD": 89,
    "UNKNOWN_SETTING": 115,
    "QUERY_IS_TOO_LARGE": 223,
    "READONLY": 164,
    "TOO_MANY_SIMULTANEOUS_QUERIES": 202,
    "CANNOT_DECOMPRESS": 271,
    "ACCESS_ENTITY_ALREADY_EXISTS": 493,
    "ACCESS_DENIED": 497,
    "AUTHENTICATION_FAILED": 516,
    "UNKNOWN_EXCEPTION": 1002,
}
_NAMES = {number: name for name, number in CODES.items()}
_BY_STATUS = {
    400: (6, 26, 27, 36, 38, 41, 43, 53, 62, 70, 72, 73, 89, 117, 271, 386, 456, 457, 467),
    403: (497, 516),
    404: (16, 46, 47, 60, 63, 78, 79, 81, 115, 195),
    408: (159,),
    413: (223,),
    501: (48,),
    503: (202, 210),
}
_STATUS = {code: status for status, codes in _BY_STATUS.items() for code in codes}
_CODE = re.compile(r"Code: (\d+)\.")


class ClickHouseError(Exception):
    """A query failed; carries ClickHouse's own code and text."""

    def __init__(self, code: int, message: str) -> None:
        text = message
        if not message.startswith("Code: "):
            text = f"Code: {code}. DB::Exception: {message}. ({_NAMES.get(code, 'UNKNOWN_EXCEPTION')})"
        super().__init__(text)
        self.code = code
        self.text = text

    @property
    def status(self) -> int:
        return _STATUS.get(self.code, 500)


def code_of(name: str) -> int:
    return CODES[name]


def from_engine(error: Exception) -> ClickHouseError:
    """Read code and text out of what the engine raised; its wrappers put words in front."""
    text = str(error)
    found = _CODE.search(text)
    if found is None:
        return ClickHouseError(code_of("UNKNOWN_EXCEPTION"), text)
    return ClickHouseError(int(found[1]), text[found.start() :])
