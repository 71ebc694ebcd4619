"""Which values of a feature are counted by themselves, and which together.

A row has at most 256 categories: those with the smallest checksums (CRC-32, then the text). Whatever the parts, a
category that is among those of the whole is among those of each part that has it. So merging parts and keeping 256
again gives the same counts as counting everything at once. The most frequent ones would not do: a value that is common
in the whole may be rare in each part. Of a column with more values than that, the categories are an even sample.
"""

import zlib
from collections.abc import Mapping

MAX_CATEGORIES = 256
MAX_CATEGORY_LENGTH = 64
"""Longer texts are free text, and no category."""


def kept(counted: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of the categories, in the order of their checksums; other values are in none."""
    short = [text for text in counted if len(text) <= MAX_CATEGORY_LENGTH]
    return {text: counted[text] for text in sorted(short, key=_checksum)[:MAX_CATEGORIES]}


def _checksum(text: str) -> tuple[int, str]:
    return zlib.crc32(text.encode()), text
