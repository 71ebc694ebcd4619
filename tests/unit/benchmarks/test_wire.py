import pytest

from benchmarks.wire import request_bytes, take_answer

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Rollbook-Epoch: 7\r\n\r\nhello"


@pytest.mark.parametrize("cut", range(len(ANSWER)))
def test_an_answer_is_taken_only_once_it_is_whole(cut: int) -> None:
    buffer = bytearray(ANSWER[:cut])

    assert take_answer(buffer) is None

    buffer += ANSWER[cut:] + b"HTTP/1.1"
    answer = take_answer(buffer)
    assert answer is not None
    assert (answer.status, answer.body, answer.header(b"x-rollbook-epoch")) == (200, b"hello", b"7")
    assert buffer == b"HTTP/1.1", "what follows stays for the next answer"


def test_a_header_that_is_not_there_is_empty() -> None:
    answer = take_answer(bytearray(ANSWER))

    assert answer is not None
    assert answer.header(b"epoch") == b""


@pytest.mark.parametrize("bad", [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"not http at all\r\n\r\n"])
def test_an_answer_of_unknown_length_is_refused(bad: bytes) -> None:
    with pytest.raises(ConnectionError):
        take_answer(bytearray(bad))


def test_a_request_states_the_length_of_its_body() -> None:
    request = request_bytes("POST", "/v1/models", headers={"authorization": "Bearer x"}, body=b"{}")

    assert request.startswith(b"POST /v1/models HTTP/1.1\r\n")
    assert request.endswith(b"\r\ncontent-length: 2\r\nauthorization: Bearer x\r\n\r\n{}")
