"""What documents and the control plane say about inference tokens. Pure: no clock, no I/O."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from schemas.documents.access import Keyring
from schemas.events import access
from schemas.inference_keys import RevokedPrincipal
from serving.gateway.routing_state import TokenRules


def with_keyring(rules: TokenRules, keyring: Keyring) -> TokenRules:
    """Return the rules after a keyring's document, unless an answer of the control plane was newer."""
    if keyring.workspace != rules.workspace:
        return msgspec.structs.replace(rules, others={**rules.others, keyring.workspace: keyring})
    return rules if keyring.stream_version < rules.version else _at_home(rules, keyring)


def with_subject(rules: TokenRules, subject: str) -> TokenRules:
    """Return the rules after the document of a principal that can no longer act."""
    return _knowing(rules, {*rules.known_subjects, subject}, revoked={*rules.revoked_subjects, subject})


def without_subject(rules: TokenRules, subject: str) -> TokenRules:
    """Return the rules after a principal's document was removed, as it can act again."""
    return _knowing(rules, set(rules.known_subjects) - {subject}, revoked=set(rules.revoked_subjects) - {subject})


def renewed(rules: TokenRules, answer: TokenRules, *, at: str) -> TokenRules:
    """Return the rules at a time (RFC 3339) with an answer of the control plane, which can be older than the documents.

    A principal that a document names stays refused. Keys and revocations that have ended are no longer in an answer,
    and are dropped, as are those of other workspaces. The answer says which one is the home workspace, whose keyring
    a document may have brought before.
    """
    if any(_is_foreign(key) for key in rules.keys):
        # An earlier release took the key of another workspace for one of the home workspace.
        rules = msgspec.structs.replace(rules, version=0, keys=())
    newer = rules if answer.version < rules.version else answer
    others = {name: _as_of(other, at) for name, other in rules.others.items() if name != answer.workspace}
    at_home = msgspec.structs.replace(newer, workspace=answer.workspace, others=others)
    brought = rules.others.get(answer.workspace)
    if brought is not None and brought.stream_version >= at_home.version:
        at_home = _at_home(at_home, _as_of(brought, at))
    return _knowing(at_home, rules.known_subjects, revoked={*rules.known_subjects, *answer.revoked_subjects})


def keys_of_all(rules: TokenRules) -> list[dict[str, Any]]:
    """Return the public keys of all workspaces."""
    return [*rules.keys, *(_jwk(key) for other in rules.others.values() for key in other.keys)]


def tokens_revoked_in_all(rules: TokenRules) -> list[str]:
    """Return the ids of the refused tokens of all workspaces."""
    return [*rules.revoked_tokens, *(each.token_id for other in rules.others.values() for each in other.tokens)]


def principals_revoked_in_all(rules: TokenRules) -> list[RevokedPrincipal]:
    """Return whose earlier tokens are refused, of all workspaces."""
    return [*rules.revoked_principals, *(each for other in rules.others.values() for each in principals_of(other))]


def _at_home(rules: TokenRules, keyring: Keyring) -> TokenRules:
    return msgspec.structs.replace(
        rules,
        version=keyring.stream_version,
        # Before its first rotation, the home workspace signs with a key that no document names.
        keys=tuple(map(_jwk, keyring.keys)) or rules.keys,
        revoked_tokens=tuple(each.token_id for each in keyring.tokens),
        revoked_principals=tuple(principals_of(keyring)),
    )


def _is_foreign(key: Mapping[str, Any]) -> bool:
    return "." in str(key.get("kid", ""))


def _as_of(keyring: Keyring, at: str) -> Keyring:
    """Leave out what has ended; RFC 3339 texts of documents compare as times."""
    return msgspec.structs.replace(
        keyring,
        keys=tuple(key for key in keyring.keys if key.valid_until is None or key.valid_until > at),
        tokens=tuple(token for token in keyring.tokens if token.until > at),
        principals=tuple(one for one in keyring.principals if one.until > at),
    )


def principals_of(keyring: Keyring) -> Iterable[RevokedPrincipal]:
    """Yield whose earlier tokens a keyring refuses."""
    for each in keyring.principals:
        yield RevokedPrincipal(principal_id=each.principal_id, issued_before_s=_unix_s(each.issued_before))


def _knowing(rules: TokenRules, known: Iterable[str], *, revoked: Iterable[str]) -> TokenRules:
    return msgspec.structs.replace(rules, known_subjects=tuple(sorted(known)), revoked_subjects=tuple(sorted(revoked)))


def _unix_s(at: str) -> int:
    return int(datetime.fromisoformat(at).timestamp())


def _jwk(key: access.SigningKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.key_id, "x": key.x}
