"""The format of the gateway's request records: one JSON line per request, in a file that Envoy appends to."""

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import substitution_format_string_pb2 as format_pb2
from envoy.extensions.access_loggers.file.v3 import file_pb2
from google.protobuf import struct_pb2

from serving.gateway import names
from serving.gateway.protos import packed
from serving.gateway.provenance import of_instance

# %EMIT_TIME% is the machine's clock when the worker logs, so that one worker's lines are ordered by their ends; start
# plus duration would drift from it over a long request.
FIELDS = {
    "id": f"%REQ({names.PREDICTION_ID})%",
    "ws": f"%METADATA(ROUTE:{names.METADATA}:workspace)%",
    "ep": f"%METADATA(ROUTE:{names.METADATA}:endpoint_id)%",
    "epn": f"%METADATA(ROUTE:{names.METADATA}:endpoint)%",
    "epoch": f"%METADATA(ROUTE:{names.METADATA}:epoch)%",
    "drawn": f"%METADATA(CLUSTER:{names.METADATA}:deployment_id)%",
    "dvid": f"%METADATA(CLUSTER:{names.METADATA}:version_id)%",
    "dver": f"%METADATA(CLUSTER:{names.METADATA}:version)%",
    "dep": of_instance("deployment_id"),
    "vid": of_instance("version_id"),
    "ver": of_instance("version"),
    "inst": of_instance("instance_id"),
    "ireg": of_instance("region"),
    "st": "%RESPONSE_CODE%",
    "gs": "%GRPC_STATUS_NUMBER%",
    "fl": "%RESPONSE_FLAGS%",
    "why": f"%RESP({names.REASON})%",
    "att": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "start": "%START_TIME(%s%3f)%",
    "end": "%EMIT_TIME(%s%3f)%",
    "dur": "%DURATION%",
    "us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
    "up": "%COMMON_DURATION(US_TX_BEG:US_RX_END:us)%",
    "rx": "%BYTES_RECEIVED%",
    "tx": "%BYTES_SENT%",
    "tp": "%REQ(traceparent)%",
    "m": "%REQ(:method)%",
    "p": "%PATH(NQ)%",
}


def request_log(*, role: str) -> accesslog_pb2.AccessLog:
    """Log each request of a listener to the live log file under this role."""
    form = struct_pb2.Struct()
    form.update({**FIELDS, "role": role})
    file = file_pb2.FileAccessLog(
        path=names.LIVE_LOG,
        log_format=format_pb2.SubstitutionFormatString(json_format=form),
    )
    return accesslog_pb2.AccessLog(name="envoy.access_loggers.file", typed_config=packed(file))
