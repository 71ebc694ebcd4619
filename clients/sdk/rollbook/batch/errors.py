"""What can be in a batch job's way.

RollbookError
└── BatchError           base of this tree; the message says what to do
    ├── BadInput         the file, its columns or the options do not fit the endpoint; nothing was sent
    └── AnotherJob       the journal beside the output is of another input or another way to score it
"""

from rollbook.errors import RollbookError


class BatchError(RollbookError):
    """Base of this tree."""


class BadInput(BatchError):
    """What was given does not fit together."""


class AnotherJob(BatchError):
    """There is a journal, and it is not this job's."""
