"""A payment provider to try things with: a process of its own that charges, refunds and misbehaves as it is told.

`python -m deploy.provider`, settings in `ONEFACT_PROVIDER_*` (see `settings`). It keeps books in a file, and what it
was asked once under a key of idempotence it answers again, without doing it again.

    POST /charges  {order_id, amount, currency}            201 approved, 402 declined
    POST /refunds  {order_id, charge, amount, currency}    201 refunded, 200 nothing was charged, nor will be;
                                                           `charge` is the key of the charge
    GET  /books                                            everything that was charged, declined and refunded
    POST /faults   {fail, drop, decline, delay_s, away_s}  how to misbehave from now on

Money is text, as `"12.50"`. 400 and 422 are requests that can never be right; 5xx, and no answer at all, leave it open
what became of the request.
"""
