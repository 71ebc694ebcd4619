"""Why a log is not read, whatever it is read from.

LogError
├── LogUnreadableError   it is not there, or cannot be read now; trying again may help
│   └── LogDamagedError  what is there cannot be read as a log at all; a person must look
└── LogBrokenError       it can be read and is not what it must be; the message says where it first departs
"""


class LogError(Exception):
    """Base of this tree; the message is for a person."""


class LogUnreadableError(LogError):
    """The file, the database or the topic does not give out the log."""


class LogDamagedError(LogUnreadableError):
    """The file is not one of a store, or no longer."""


class LogBrokenError(LogError):
    """A log was altered, holds what is not an event, or differs from another copy of it."""
