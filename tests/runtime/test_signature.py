from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.signature import (
    SignatureHeader,
    SignatureMismatch,
    SignatureMissing,
    SignatureRefused,
    SignatureUnreadable,
    TimestampFuture,
    TimestampStale,
    check_age,
    read_header,
    verify,
)
from tests.fakes import NOW, SECRET
from tests.ingest.ingest_client import SIGNED_AT, event, sign

BODY = event().decode()
GENUINE = sign(event()).split("v1=")[1]


class TestReadHeader:
    def test_reads_the_timestamp_and_every_v1(self) -> None:
        header = read_header("t=5,v1=aa,v0=cc,v1=bb")

        assert header == SignatureHeader(timestamp=5, signatures=("aa", "bb"))

    def test_spaces_that_a_proxy_put_after_commas_do_not_matter(self) -> None:
        assert read_header("t=5, v1=aa") == read_header("t=5,v1=aa")

    @pytest.mark.parametrize("text", [None, ""])
    def test_no_header_is_missing(self, text: str | None) -> None:
        with pytest.raises(SignatureMissing):
            read_header(text)

    @pytest.mark.parametrize(
        "text",
        [
            "v1=aa",
            "t=5",
            "t=5,v0=aa",
            "t=5,t=5,v1=aa",
            "t=5,v1=aa,t=6",
            "t=,v1=aa",
            "t,v1=aa",
            "t=5.0,v1=aa",
            "t=-5,v1=aa",
            "t=+5,v1=aa",
            "t=5_0,v1=aa",
            "t=\u0665,v1=aa",
            "t=nan,v1=aa",
            f"t={'9' * 400},v1=aa",
            "\x00",
            ",,,,",
            "whatever",
        ],
    )
    def test_an_incomplete_or_ambiguous_header_is_unreadable(self, text: str) -> None:
        with pytest.raises(SignatureUnreadable):
            read_header(text)

    @given(st.text())
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            read_header(text)
        except SignatureRefused:
            return


class TestVerify:
    def test_returns_the_secret_of_the_signature(self) -> None:
        header = read_header(f"t={SIGNED_AT},v1={GENUINE}")

        assert verify(BODY, header, ("whsec_old", SECRET, "whsec_other")) == SECRET

    def test_one_genuine_signature_among_others_suffices(self) -> None:
        header = read_header(f"t={SIGNED_AT},v1=\u00e9,v1={'0' * 64},v1={GENUINE}")

        assert verify(BODY, header, (SECRET,)) == SECRET

    @pytest.mark.parametrize(
        "signature", ["0" * 64, GENUINE[:-1], GENUINE.upper(), "", "\u00e9", "\udcff", "=" * 9]
    )
    def test_any_other_signature_is_a_mismatch(self, signature: str) -> None:
        header = read_header(f"t={SIGNED_AT},v1={signature}")

        with pytest.raises(SignatureMismatch):
            verify(BODY, header, (SECRET,))

    def test_the_timestamp_is_signed_too(self) -> None:
        header = read_header(f"t={SIGNED_AT + 1},v1={GENUINE}")

        with pytest.raises(SignatureMismatch):
            verify(BODY, header, (SECRET,))

    @pytest.mark.parametrize("secrets", [(), ("",), (" ",)])
    def test_without_a_secret_nothing_is_genuine(self, secrets: tuple[str, ...]) -> None:
        header = read_header(sign(event(), secret="x").replace("v1=", "v1=,v1="))

        with pytest.raises(SignatureMismatch):
            verify(BODY, header, secrets)

    def test_every_secret_is_tried_in_constant_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import stripe._webhook as library  # noqa: PLC0415 - where it compares

        compared: list[tuple[str, str]] = []

        def compare(expected: str, given: str) -> bool:
            compared.append((expected, given))
            return expected == given

        monkeypatch.setattr(library, "secure_compare", compare)

        verify(BODY, read_header(f"t={SIGNED_AT},v1={GENUINE}"), (SECRET, "whsec_b", "whsec_c"))

        assert [given for _, given in compared] == [GENUINE] * 3


class TestCheckAge:
    @pytest.mark.parametrize("age", [-300, 0, 300])
    def test_the_tolerance_itself_is_still_in_time(self, age: int) -> None:
        check_age(_signed(age), now=NOW, tolerance_seconds=300)

    def test_older_is_stale(self) -> None:
        with pytest.raises(TimestampStale):
            check_age(_signed(301), now=NOW, tolerance_seconds=300)

    def test_further_ahead_is_the_future(self) -> None:
        with pytest.raises(TimestampFuture):
            check_age(_signed(-301), now=NOW, tolerance_seconds=300)

    @pytest.mark.parametrize("timestamp", [0, 10**18 - 1])
    def test_no_number_is_too_far_away_to_compare(self, timestamp: int) -> None:
        header = SignatureHeader(timestamp=timestamp, signatures=())

        with pytest.raises(SignatureRefused):
            check_age(header, now=datetime(2026, 1, 1, tzinfo=UTC), tolerance_seconds=300)


def _signed(age: int) -> SignatureHeader:
    return SignatureHeader(timestamp=SIGNED_AT - age, signatures=())
