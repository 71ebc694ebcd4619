"""What can go wrong between the store and the topic.

CannotStartError (of infra)
├── PoisonEventError   an event cannot be published as it is; nothing is skipped, so a person must look
└── TopicForeignError  the topic holds what this store did not write, or lacks what came before its end
PublishingError        what became of a batch is unknown, or the broker is away; look at the topic and go on
"""

from infra.errors import CannotStartError


class PoisonEventError(CannotStartError):
    """An event of the log cannot be published."""


class TopicForeignError(CannotStartError):
    """The topic is not what the relay of this store left there."""


class PublishingError(Exception):
    """A batch may or may not be in the topic."""
