"""The fields that Stripe sends and Paidup never reads.

Samples contain them all the same: a reader must cope with whole objects, and a benchmark on small
bodies would be too good.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ops.samples.api_shapes import Shape

JsonObject = dict[str, Any]


def _nulls(names: str) -> JsonObject:
    return dict.fromkeys(names.split())


_ADDRESS: JsonObject = _nulls("city country line1 line2 postal_code state")

_CARD: JsonObject = {
    **_nulls("installments mandate three_d_secure wallet"),
    "brand": "visa",
    "checks": {
        "address_line1_check": None,
        "address_postal_code_check": "pass",
        "cvc_check": "pass",
    },
    "country": "DE",
    "exp_month": 4,
    "exp_year": 2031,
    "fingerprint": "Zq8vK3tLw0PdYb5n",
    "funding": "debit",
    "last4": "1881",
    "network": "visa",
}

_PLAN: JsonObject = {
    **_nulls("tiers_mode transform_usage trial_period_days"),
    "active": True,
    "billing_scheme": "per_unit",
    "created": 1719828000,
    "currency": "usd",
    "interval_count": 1,
    "livemode": False,
    "metadata": {},
    "usage_type": "licensed",
}

_PRICE: JsonObject = {
    **_nulls("custom_unit_amount lookup_key tiers_mode transform_quantity"),
    "active": True,
    "billing_scheme": "per_unit",
    "created": 1719828000,
    "currency": "usd",
    "livemode": False,
    "metadata": {},
    "tax_behavior": "unspecified",
}

_CUSTOMER: JsonObject = {
    **_nulls("address currency default_source description discount phone shipping test_clock"),
    "balance": 0,
    "delinquent": False,
    "invoice_settings": _nulls(
        "custom_fields default_payment_method footer rendering_options",
    ),
    "livemode": False,
    "name": "Ada Example",
    "next_invoice_sequence": 1,
    "preferred_locales": ["en"],
    "tax_exempt": "none",
}

_SUBSCRIPTION: JsonObject = {
    **_nulls(
        "application application_fee_percent billing_thresholds cancel_at canceled_at"
        " days_until_due default_payment_method default_source description ended_at latest_invoice"
        " next_pending_invoice_item_invoice on_behalf_of pause_collection"
        " pending_invoice_item_interval pending_setup_intent pending_update schedule test_clock"
        " transfer_data trial_end trial_start",
    ),
    "cancel_at_period_end": False,
    "cancellation_details": _nulls("comment feedback reason"),
    "collection_method": "charge_automatically",
    "currency": "usd",
    "default_tax_rates": [],
    "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
    "livemode": False,
    "payment_settings": {
        "payment_method_options": None,
        "payment_method_types": None,
        "save_default_payment_method": "on_subscription",
    },
    "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}},
}

_SUBSCRIPTION_ITEM: JsonObject = {"billing_thresholds": None, "metadata": {}, "tax_rates": []}

_INVOICE: JsonObject = {
    **_nulls(
        "account_tax_ids application custom_fields customer_address customer_phone"
        " customer_shipping default_payment_method default_source description due_date"
        " effective_at footer from_invoice hosted_invoice_url invoice_pdf"
        " last_finalization_error latest_revision next_payment_attempt number on_behalf_of"
        " receipt_number rendering shipping_cost shipping_details statement_descriptor test_clock"
        " webhooks_delivered_at",
    ),
    "account_country": "DE",
    "account_name": "Paidup Samples",
    "amount_shipping": 0,
    "attempt_count": 0,
    "attempted": False,
    "auto_advance": True,
    "collection_method": "charge_automatically",
    "currency": "usd",
    "customer_name": "Ada Example",
    "customer_tax_exempt": "none",
    "customer_tax_ids": [],
    "default_tax_rates": [],
    "discounts": [],
    "ending_balance": None,
    "issuer": {"type": "self"},
    "livemode": False,
    "metadata": {},
    "payment_settings": _nulls("default_mandate payment_method_options payment_method_types"),
    "post_payment_credit_notes_amount": 0,
    "pre_payment_credit_notes_amount": 0,
    "starting_balance": 0,
    "total_discount_amounts": [],
}

_LINE: JsonObject = {
    "currency": "usd",
    "discount_amounts": [],
    "discountable": True,
    "discounts": [],
    "livemode": False,
    "metadata": {},
}

_PAYMENT_INTENT: JsonObject = {
    **_nulls(
        "application application_fee_amount automatic_payment_methods canceled_at"
        " cancellation_reason description last_payment_error latest_charge next_action"
        " on_behalf_of payment_method processing receipt_email review setup_future_usage shipping"
        " source statement_descriptor statement_descriptor_suffix transfer_data transfer_group",
    ),
    "amount_capturable": 0,
    "amount_details": {"tip": {}},
    "amount_received": 0,
    "capture_method": "automatic",
    "confirmation_method": "automatic",
    "livemode": False,
    "payment_method_options": {
        "card": {
            **_nulls("installments mandate_options network"),
            "request_three_d_secure": "automatic",
        },
    },
    "payment_method_types": ["card"],
    "status": "requires_payment_method",
}

_CHARGE: JsonObject = {
    **_nulls(
        "application application_fee application_fee_amount description destination dispute"
        " failure_balance_transaction failure_code failure_message on_behalf_of order"
        " receipt_email receipt_number review shipping source source_transfer"
        " statement_descriptor statement_descriptor_suffix transfer_data transfer_group",
    ),
    "amount_refunded": 0,
    "billing_details": {"address": _ADDRESS, **_nulls("email name phone")},
    "calculated_statement_descriptor": "PAIDUP SAMPLES",
    "disputed": False,
    "fraud_details": {},
    "livemode": False,
    "outcome": {
        "network_status": "approved_by_network",
        "reason": None,
        "risk_level": "normal",
        "risk_score": 17,
        "seller_message": "Payment complete.",
        "type": "authorized",
    },
    "payment_method_details": {"card": _CARD, "type": "card"},
    "refunded": False,
}

_REFUND: JsonObject = {
    **_nulls("receipt_number source_transfer_reversal transfer_reversal"),
    "metadata": {},
    "reason": "requested_by_customer",
}

_DISPUTE: JsonObject = {
    "balance_transactions": [],
    "evidence": _nulls(
        "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure"
        " cancellation_rebuttal customer_communication customer_email_address customer_name"
        " customer_purchase_ip customer_signature duplicate_charge_documentation"
        " duplicate_charge_explanation duplicate_charge_id product_description receipt"
        " refund_policy refund_policy_disclosure refund_refusal_explanation service_date"
        " service_documentation shipping_address shipping_carrier shipping_date"
        " shipping_documentation shipping_tracking_number uncategorized_file uncategorized_text",
    ),
    "is_charge_refundable": False,
    "livemode": False,
    "metadata": {},
    "reason": "fraudulent",
}

_CHECKOUT_SESSION: JsonObject = {
    **_nulls(
        "after_expiration allow_promotion_codes billing_address_collection client_secret consent"
        " consent_collection currency_conversion customer_creation customer_email invoice"
        " invoice_creation locale payment_intent payment_link recovered_from setup_intent"
        " shipping_address_collection shipping_cost submit_type subscription url",
    ),
    "automatic_tax": _nulls("liability status") | {"enabled": False},
    "cancel_url": "https://shop.example.com/pricing",
    "currency": "usd",
    "custom_fields": [],
    "customer_details": {"email": "ada@example.com", "name": "Ada Example", "tax_ids": []},
    "custom_text": _nulls("after_submit shipping_address submit terms_of_service_acceptance"),
    "livemode": False,
    "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
    "payment_method_types": ["card"],
    "phone_number_collection": {"enabled": False},
    "shipping_options": [],
    "success_url": "https://shop.example.com/welcome?session_id={CHECKOUT_SESSION_ID}",
    "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
}

_INVOICE_PAYMENT: JsonObject = {"currency": "usd", "is_default": True, "livemode": False}

_ALWAYS: Mapping[str, JsonObject] = {
    "charge": _CHARGE,
    "checkout.session": _CHECKOUT_SESSION,
    "customer": _CUSTOMER,
    "dispute": _DISPUTE,
    "entitlements.active_entitlement": {"livemode": False},
    "entitlements.active_entitlement_summary": {"livemode": False},
    "invoice": _INVOICE,
    "invoice_payment": _INVOICE_PAYMENT,
    "line_item": _LINE,
    "payment_intent": _PAYMENT_INTENT,
    "plan": _PLAN,
    "price": _PRICE,
    "refund": _REFUND,
    "subscription": _SUBSCRIPTION,
    "subscription_item": _SUBSCRIPTION_ITEM,
}

_ONLY_OLD: Mapping[str, JsonObject] = {
    "checkout.session": {"shipping_details": None, "ui_mode": "hosted"},
    "invoice": _nulls(
        "application_fee_amount charge discount paid_out_of_band payment_intent quote tax"
        " transfer_data",
    )
    | {"total_tax_amounts": []},
    "line_item": {"tax_amounts": [], "tax_rates": []},
    "plan": _nulls("aggregate_usage"),
    "subscription": _nulls("discount"),
}

_ONLY_NEW: Mapping[str, JsonObject] = {
    "charge": {"radar_options": {}},
    "checkout.session": {
        **_nulls("origin_context permissions wallet_options"),
        "adaptive_pricing": {"enabled": True},
        "branding_settings": {
            **_nulls("icon logo"),
            "background_color": "#ffffff",
            "border_style": "rounded",
            "button_color": "#0b5cff",
            "display_name": "Paidup Samples",
            "font_family": "default",
        },
        "collected_information": _nulls("business_name individual_name shipping_details"),
        "discounts": [],
        "ui_mode": "hosted_page",
    },
    "dispute": {"enhanced_eligibility_types": []},
    "invoice": {
        "amount_overpaid": 0,
        "automatically_finalizes_at": None,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
    },
    "line_item": {"pretax_credit_amounts": [], "taxes": []},
    "payment_intent": _nulls("excluded_payment_method_types payment_method_configuration_details"),
    "plan": _nulls("meter"),
    "subscription": {
        "billing_cycle_anchor_config": None,
        "billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible"},
        "discounts": [],
    },
    "subscription_item": {"discounts": []},
}

_ONLY = {Shape.ANCIENT: _ONLY_OLD, Shape.OLD: _ONLY_OLD, Shape.NEW: _ONLY_NEW}


def unread_fields(kind: str, shape: Shape) -> JsonObject:
    """Return the unread fields of an object of this kind, as Stripe sends them in that shape."""
    return {**_ALWAYS[kind], **_ONLY[shape].get(kind, {})}


def listed(data: Sequence[JsonObject], url: str) -> JsonObject:
    """Wrap objects in a list object as Stripe does."""
    return {
        "object": "list",
        "data": list(data),
        "has_more": False,
        "total_count": len(data),
        "url": url,
    }
