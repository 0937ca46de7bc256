from stripe import WebhookSignature

from ops.send.delivery import sign


def test_stripes_own_library_accepts_the_signature() -> None:
    body = '{"id": "evt_1", "name": "Zoë"}'

    header = sign(body.encode(), "whsec_test", 1_795_300_000)

    assert WebhookSignature.verify_header(body, header, "whsec_test", tolerance=None)
