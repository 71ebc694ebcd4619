"""Idempotency: a repeated command gets its first answer, and a key used for something else is refused."""

from control_plane.event_store.database import AnswerKey, Database, StoredAnswer
from control_plane.event_store.errors import AnswerErasedError, IdempotencyKeyReusedError
from control_plane.event_store.unit_of_work import CommandUnit
from control_plane.keys.key_file import KeyStore, SubjectKey, fresh_key
from control_plane.keys.sealing import StagedKeys, decrypt, encrypt
from control_plane.ports import CommandContext, Executed, Reply

KEPT_MS = 24 * 60 * 60 * 1000
ANSWERS = "answers"
"""The subject whose key all kept answers are encrypted under."""


def key_of_answers(keys: KeyStore) -> SubjectKey:
    """Return the key of the kept answers, made at first use."""
    existing = keys.keys_of(ANSWERS)
    if existing:
        return existing[-1]
    key = fresh_key(ANSWERS)
    keys.save([key])
    return key


def first_answer(database: Database, context: CommandContext, keys: StagedKeys, *, now_ms: int) -> Executed | None:
    """Return what the command was answered the first time, or None when it is new.

    Raises:
        IdempotencyKeyReusedError: the key belongs to another request.
        AnswerErasedError: the answer cannot be given again, as its person was erased.
    """
    key = _key(context)
    kept = None if key is None else database.answer(key, now_ms=now_ms)
    if kept is None:
        return None
    if kept.body_sha256 != context.body_sha256:
        raise IdempotencyKeyReusedError
    reply = Reply(status=kept.status, body=_opened(kept, keys), stream_version=kept.stream_version)
    return Executed(reply=reply, position=kept.position, is_repeat=True)


def keep_answer(
    database: Database, context: CommandContext, unit: CommandUnit, reply: Reply, *, answers_key: SubjectKey
) -> None:
    """Remember an answer for a day, beside what the command changed; without a key there is nothing to remember.

    An answer may hold a fresh token, so it is kept encrypted. Where the command handled personal values it is encrypted
    under their keys as well: it goes when they go.
    """
    key = _key(context)
    if key is None:
        return
    body, sealed_under = reply.body, []
    for subject_key in (*(_key_of(subject, unit.keys) for subject in unit.subjects), answers_key):
        body = encrypt(body, key=subject_key, bound_to=context.command_id)
        sealed_under.append(subject_key.key_id)
    answer = StoredAnswer(
        body_sha256=context.body_sha256,
        status=reply.status,
        body=body,
        sealed_under=tuple(sealed_under),
        bound_to=context.command_id,
        stream_version=reply.stream_version,
        position=unit.head,
        expires_at_ms=unit.now_ms + KEPT_MS,
    )
    database.keep_answer(key, answer)


def _key(context: CommandContext) -> AnswerKey | None:
    if context.idempotency_key is None:
        return None
    return AnswerKey(
        workspace=context.actor.workspace,
        principal_id=context.actor.principal_id,
        idempotency_key=context.idempotency_key,
    )


def _key_of(subject: str, keys: StagedKeys) -> SubjectKey:
    """Return the subject's key; one that no one keeps when the command itself shredded it."""
    existing = keys.keys_of(subject)
    return existing[-1] if existing else fresh_key(subject)


def _opened(kept: StoredAnswer, keys: StagedKeys) -> bytes:
    body = kept.body
    for key_id in reversed(kept.sealed_under):
        key = keys.key(key_id)
        if key is None:
            raise AnswerErasedError
        body = decrypt(body, key=key, bound_to=kept.bound_to)
    return body
