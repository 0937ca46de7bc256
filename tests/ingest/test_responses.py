import json
from datetime import UTC, datetime

from ingest.responses import Acknowledgement


def answered(acknowledgement: Acknowledgement) -> tuple[str, dict[str, str], bytes]:
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None, /
    ) -> None:
        started.append((status, headers))

    body = b"".join(acknowledgement({}, start_response))  # type: ignore[arg-type]  # writes nothing
    ((status, headers),) = started
    return status, dict(headers), body


def test_an_acknowledgement_is_a_status_and_a_document_of_known_length() -> None:
    status, headers, body = answered(Acknowledgement(202, {"status": "accepted", "event_id": "é"}))

    assert status == "202 ACCEPTED"
    assert json.loads(body) == {"status": "accepted", "event_id": "é"}
    assert headers == {"Content-Type": "application/json", "Content-Length": str(len(body))}


def test_times_in_a_cached_result_are_written_as_text() -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)

    _, _, body = answered(Acknowledgement(200, {"result": {"applied_at": at}}))

    assert json.loads(body) == {"result": {"applied_at": at.isoformat()}}
