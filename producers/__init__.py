"""What clients publish to a domain, and the publisher that they do it with."""

from producers._asyncio import AsyncPublisher
from producers._sending import declared_domains
from producers._waiting import Receipt, Tally
from producers.outcome import Accepted, DeadLettered, DeliveryFailed, NoOutcome, Outcome, Refused
from producers.publisher import Publisher

__all__ = [
    "Accepted",
    "AsyncPublisher",
    "DeadLettered",
    "DeliveryFailed",
    "NoOutcome",
    "Outcome",
    "Publisher",
    "Receipt",
    "Refused",
    "Tally",
    "declared_domains",
]
