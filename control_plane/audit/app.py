"""The program `audit`: proves the log, or rebuilds the store from the topic. Works beside a stack and without one."""

import argparse
import asyncio
import os
import sys
from functools import partial
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from control_plane.audit.checkpoint import Checkpoint, load_signing_key, parse_verifier_key, verify
from control_plane.audit.errors import AuditError, CheckpointError
from control_plane.audit.history import Evidence
from control_plane.audit.restore import restore_store
from control_plane.audit.verifier import verify_store, verify_store_against_topic
from control_plane.event_store.log_file import open_log_file
from control_plane.event_store.restored_file import restored_file
from control_plane.log.errors import LogBrokenError, LogUnreadableError
from control_plane.relay.topic_log import open_topic_log
from infra.errors import CannotStartError
from infra.kafka.connection import KafkaConnection, connection_in
from infra.stack.addresses import LOOPBACK

EXIT_SOUND, EXIT_BROKEN, EXIT_UNREADABLE = 0, 1, 2


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, as `--json` writes it."""

    sound: bool
    sentence: str
    tree_size: int | None = None
    root: str | None = None
    position: int | None = None
    streams: int | None = None
    topic_compared: bool = False
    checkpoints: int = 0


def main(argv: list[str] | None = None) -> int:
    """Carry out `verify` or `restore`. Exit code: 0 sound, 1 broken, 2 could not be checked."""
    arguments = _parser().parse_args(argv)
    try:
        report = asyncio.run(_restore(arguments) if arguments.deed == "restore" else _verify(arguments))
    except LogBrokenError as error:
        _print_report(Report(sound=False, sentence=str(error)), as_json=arguments.json)
        return EXIT_BROKEN
    except (AuditError, LogUnreadableError, CannotStartError) as error:
        sys.stderr.write(f"rollbook audit: {error}\n")
        return EXIT_UNREADABLE
    _print_report(report, as_json=arguments.json)
    return EXIT_SOUND


async def _verify(arguments: argparse.Namespace) -> Report:
    checkpoints = _checkpoints(arguments)
    open_topic = partial(open_topic_log, _kafka(arguments)) if arguments.topic else None
    with open_log_file(_store_file(arguments.data_dir)) as store:
        if open_topic is None:
            evidence = await verify_store(store, checkpoints=checkpoints)
            return _report(evidence, "the store is sound", checkpoints=len(checkpoints))
        comparison = await verify_store_against_topic(store, open_topic, checkpoints=checkpoints)
    sentence = "the store is sound and the topic holds the same log"
    return _report(comparison.store, sentence, checkpoints=len(checkpoints), topic_compared=True)


async def _restore(arguments: argparse.Namespace) -> Report:
    kafka = _kafka(arguments)
    with restored_file(_store_file(arguments.data_dir)) as unfinished:
        async with open_topic_log(kafka) as topic:
            evidence = await restore_store(topic, unfinished)
    return _report(evidence, "the store was rebuilt from the topic, with the same root", topic_compared=True)


def _report(evidence: Evidence, sentence: str, *, checkpoints: int = 0, topic_compared: bool = False) -> Report:
    return Report(
        sound=True,
        sentence=sentence,
        tree_size=evidence.size,
        root=evidence.root.hex(),
        position=evidence.position,
        streams=evidence.streams,
        topic_compared=topic_compared,
        checkpoints=checkpoints,
    )


def _print_report(report: Report, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(f"{msgspec.json.encode(report).decode()}\n")
    elif not report.sound:
        sys.stdout.write(f"BROKEN: {report.sentence}\n")
    else:
        sys.stdout.write(
            f"OK: {report.sentence}\n"
            f"  {report.tree_size} events in {report.streams} streams, up to position {report.position}\n"
            f"  root {report.root}\n"
        )


def _checkpoints(arguments: argparse.Namespace) -> list[Checkpoint]:
    if not arguments.checkpoint:
        return []
    key = _public_key(arguments)
    return [verify(_text_of(path), key) for path in arguments.checkpoint]


def _public_key(arguments: argparse.Namespace) -> Ed25519PublicKey:
    if arguments.key is not None:
        return parse_verifier_key(arguments.key)[1]
    return load_signing_key(arguments.data_dir / "secrets" / "checkpoint-signing.pem").public_key()


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"the checkpoint {path} cannot be read ({error})") from error


def _store_file(data_dir: Path) -> Path:
    return data_dir / "events" / "registry.sqlite"


def _kafka(arguments: argparse.Namespace) -> KafkaConnection:
    return connection_in(os.environ, bootstrap=_bootstrap(arguments))


def _bootstrap(arguments: argparse.Namespace) -> str:
    """Use what was asked for, or the Kafka of the stack that lives in the data directory."""
    if arguments.bootstrap is not None:
        return str(arguments.bootstrap)
    book = arguments.data_dir / "run" / "ports.json"
    try:
        ports = msgspec.json.decode(book.read_bytes(), type=dict[str, int])
        return f"{LOOPBACK}:{ports['kafka']}"
    except (OSError, msgspec.DecodeError, KeyError) as error:
        raise AuditError(f"{book} does not name a Kafka; give its address with --bootstrap HOST:PORT") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rollbook audit", description="Prove the log of a data directory.")
    deeds = parser.add_subparsers(dest="deed", required=True)
    verifying = deeds.add_parser("verify", help="recompute the root from the store, and from the topic")
    verifying.add_argument("--topic", action="store_true", help="read the topic too and compare event by event")
    verifying.add_argument(
        "--checkpoint", type=Path, action="append", default=[], help="a signed note to check against"
    )
    verifying.add_argument(
        "--key", help="the public key of the checkpoints (name+id+key); default: this data directory's"
    )
    restoring = deeds.add_parser("restore", help="rebuild the store's file from the topic")
    for deed in (verifying, restoring):
        default = Path(os.environ.get("ROLLBOOK_DATA_DIR", "rollbook-data"))
        deed.add_argument("--data-dir", type=Path, default=default)
        deed.add_argument("--bootstrap", help="Kafka's address, HOST:PORT; default: the stack's own")
        deed.add_argument("--json", action="store_true", help="one JSON document instead of sentences")
    return parser
