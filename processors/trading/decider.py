"""A cash account can overdraw neither cash nor shares; a margin account may owe both."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import assert_never

import msgspec

from eventlog.decimals import ZERO, fits, parse, places, text
from eventlog.errors import Refused
from eventlog.roles import Decider
from schemas.trading import (
    TRADING,
    BuyStock,
    CashDeposited,
    CashWithdrawn,
    DepositCash,
    OpenPortfolio,
    PortfolioOpened,
    SellStock,
    StockBought,
    StockSold,
    TradingCommand,
    TradingEvent,
    WithdrawCash,
)

LATENESS_MAX = timedelta(days=1)
"""How far before the stream's last event a command may lie."""
ID_LENGTH_MAX = 128
OWNER_LENGTH_MAX = 200
SYMBOL_LENGTH_MAX = 32
CURRENCY_LENGTH = 3
POSITIONS_MAX = 10_000
"""Open positions of one portfolio, so that its state stays far below the size limit of a record."""


class Portfolio(msgspec.Struct, frozen=True, gc=False):
    """What decisions about a portfolio read. `shares` holds no zeros; negative ones are owed."""

    margin: bool
    cash: Decimal
    shares: dict[str, Decimal]
    last: datetime
    """Time of the stream's last event."""


def decide(command: TradingCommand, state: Portfolio | None, time: datetime) -> tuple[TradingEvent, ...]:
    """What a command leads to: always exactly one event.

    Raises `Refused` and nothing else, whatever the command holds. In this order: `already_open` or
    `unknown_portfolio`, `too_old`, then what is wrong with the command by itself (`bad_id`, `bad_owner`,
    `bad_currency`, `bad_symbol`, `not_a_number`, `too_many_digits`, `not_positive`), then what the
    portfolio cannot bear (`insufficient_cash`, `insufficient_shares`, `too_many_digits`, `too_many_positions`).
    """
    match command:
        case BuyStock():
            return (_buy(command, _open_at(command, state, time)),)
        case SellStock():
            return (_sell(command, _open_at(command, state, time)),)
        case DepositCash():
            return (_deposit(command, _open_at(command, state, time)),)
        case WithdrawCash():
            return (_withdraw(command, _open_at(command, state, time)),)
        case OpenPortfolio():
            return (_open(command, state),)
        case _:
            assert_never(command)


def evolve(state: Portfolio | None, event: TradingEvent, time: datetime) -> Portfolio:
    """A portfolio after one more of its events."""
    match event:
        case StockBought():
            return _traded(_known(state), event.symbol, event.quantity, -event.amount, time)
        case StockSold():
            return _traded(_known(state), event.symbol, -event.quantity, event.amount, time)
        case CashDeposited():
            return _paid(_known(state), event.amount, time)
        case CashWithdrawn():
            return _paid(_known(state), -event.amount, time)
        case PortfolioOpened():
            return Portfolio(margin=event.margin, cash=ZERO, shares={}, last=time)
        case _:
            assert_never(event)


DECIDER = Decider(domain=TRADING, decide=decide, evolve=evolve, state=Portfolio)


def _open(command: OpenPortfolio, state: Portfolio | None) -> PortfolioOpened:
    if state is not None:
        raise Refused("already_open", f"portfolio {command.portfolio_id!r} is open already")
    _check_name("bad_id", "portfolio_id", command.portfolio_id, ID_LENGTH_MAX)
    _check_name("bad_owner", "owner", command.owner, OWNER_LENGTH_MAX)
    currency = command.currency
    if not (len(currency) == CURRENCY_LENGTH and currency.isascii() and currency.isalpha()):
        raise Refused("bad_currency", f"currency must be three letters such as USD, not {currency[:20]!r}")
    return PortfolioOpened(
        portfolio_id=command.portfolio_id, owner=command.owner, currency=currency.upper(), margin=command.margin
    )


def _deposit(command: DepositCash, portfolio: Portfolio) -> CashDeposited:
    amount = _positive(command.amount, "amount")
    _storable(portfolio.cash + amount, "cash")
    return CashDeposited(portfolio_id=command.portfolio_id, amount=amount)


def _withdraw(command: WithdrawCash, portfolio: Portfolio) -> CashWithdrawn:
    amount = _positive(command.amount, "amount")
    _payable(amount, portfolio)
    return CashWithdrawn(portfolio_id=command.portfolio_id, amount=amount)


def _buy(command: BuyStock, portfolio: Portfolio) -> StockBought:
    symbol = _symbol(command.symbol)
    quantity, price, amount = _priced(command)
    _payable(amount, portfolio)
    _room(symbol, portfolio.shares.get(symbol, ZERO) + quantity, portfolio)
    return StockBought(portfolio_id=command.portfolio_id, symbol=symbol, quantity=quantity, price=price, amount=amount)


def _sell(command: SellStock, portfolio: Portfolio) -> StockSold:
    symbol = _symbol(command.symbol)
    quantity, price, amount = _priced(command)
    held = portfolio.shares.get(symbol, ZERO)
    if quantity > held and not portfolio.margin:
        raise Refused("insufficient_shares", f"{text(quantity)} {symbol} to sell, {text(held)} held")
    _storable(portfolio.cash + amount, "cash")
    _room(symbol, held - quantity, portfolio)
    return StockSold(portfolio_id=command.portfolio_id, symbol=symbol, quantity=quantity, price=price, amount=amount)


def _open_at(command: TradingCommand, state: Portfolio | None, time: datetime) -> Portfolio:
    if state is None:
        raise Refused("unknown_portfolio", f"there is no portfolio {command.portfolio_id[:ID_LENGTH_MAX]!r}")
    if time < state.last and state.last - time > LATENESS_MAX:
        raise Refused("too_old", f"{time.isoformat()} is over a day before the last event, {state.last.isoformat()}")
    return state


def _priced(command: BuyStock | SellStock) -> tuple[Decimal, Decimal, Decimal]:
    """Quantity, price and amount: quantity x price, rounded half to even to 12 places, the one rounding of a trade."""
    quantity = _positive(command.quantity, "quantity")
    price = _positive(command.price, "price")
    amount = places(quantity * price)
    if not amount:
        raise Refused("not_positive", "quantity times price is 0 at 12 places")
    _storable(amount, "quantity times price")
    return quantity, price, amount


def _positive(written: str, field: str) -> Decimal:
    number = parse(written, field)
    if number <= ZERO:
        raise Refused("not_positive", f"{field} must be above 0")
    return number


def _payable(amount: Decimal, portfolio: Portfolio) -> None:
    left = portfolio.cash - amount
    if left < ZERO and not portfolio.margin:
        raise Refused("insufficient_cash", f"{text(amount)} to pay, {text(portfolio.cash)} in cash")
    _storable(left, "cash")


def _storable(number: Decimal, what: str) -> None:
    if not fits(number):
        raise _too_many_digits(what)


def _too_many_digits(what: str) -> Refused:
    return Refused("too_many_digits", f"{what} would have more than 26 digits before the point")


def _room(symbol: str, quantity: Decimal, portfolio: Portfolio) -> None:
    if not fits(quantity):
        raise _too_many_digits(f"shares of {symbol}")
    shares = portfolio.shares
    if len(shares) >= POSITIONS_MAX and symbol not in shares:
        raise Refused("too_many_positions", f"a portfolio has at most {POSITIONS_MAX} open positions")


@lru_cache(maxsize=4096)
def _symbol(symbol: str) -> str:
    _check_name("bad_symbol", "symbol", symbol, SYMBOL_LENGTH_MAX)
    if " " in symbol:
        raise Refused("bad_symbol", f"symbol must not hold spaces: {symbol!r}")
    return symbol


def _check_name(code: str, field: str, name: str, length_max: int) -> None:
    """A name is 1 to `length_max` printable characters, with no space at either end."""
    if not (0 < len(name) <= length_max and name.isprintable() and name[0] != " " != name[-1]):
        raise Refused(code, f"{field} must be 1 to {length_max} printable characters, not {name[:length_max]!r}")


def _known(state: Portfolio | None) -> Portfolio:
    assert state is not None, "a portfolio's first event is PortfolioOpened"
    return state


def _paid(portfolio: Portfolio, amount: Decimal, time: datetime) -> Portfolio:
    return Portfolio(margin=portfolio.margin, cash=portfolio.cash + amount, shares=portfolio.shares, last=time)


def _traded(portfolio: Portfolio, symbol: str, bought: Decimal, paid_in: Decimal, time: datetime) -> Portfolio:
    shares = portfolio.shares.copy()
    quantity = shares.get(symbol, ZERO) + bought
    if quantity:
        shares[symbol] = quantity
    else:
        del shares[symbol]
    return Portfolio(margin=portfolio.margin, cash=portfolio.cash + paid_in, shares=shares, last=time)
