"""Amounts as Kubernetes writes them: ``250m``, ``2Gi``."""

from __future__ import annotations

from decimal import Decimal


def amount_of(text: object) -> Decimal:
    """The amount that Kubernetes writes as a quantity.

    Raises ValueError for what is none.

    >>> amount_of("250m"), amount_of("2Ki")
    (Decimal('0.250'), Decimal('2048'))
    """
    from kubernetes.utils.quantity import parse_quantity

    try:
        return Decimal(parse_quantity(str(text)))
    except ValueError:
        raise ValueError(f"found {text!r}; expected a quantity such as 250m or 2Gi") from None
