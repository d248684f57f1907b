package onefact.bench;

import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.util.Locale;
import org.apache.avro.generic.GenericRecord;

/** The rules of `processors/trading/decider.py`, to the letter: the same refusals for the same reasons. */
final class Decider {
    private static final BigDecimal LIMIT = BigDecimal.TEN.pow(26);
    private static final Duration LATENESS_MAX = Duration.ofDays(1);
    private static final String NAMESPACE = "onefact.trading.";

    private final Codec codec;

    Decider(Codec codec) {
        this.codec = codec;
    }

    /** The event that a command leads to; `portfolio` is changed by it, unless it is refused. */
    GenericRecord decide(GenericRecord command, Portfolio portfolio, Instant time) throws Refused {
        String type = command.getSchema().getName();
        String id = command.get(0).toString();
        if (type.equals("OpenPortfolio")) {
            return open(command, id, portfolio);
        }
        if (portfolio.last == null) {
            throw new Refused("unknown_portfolio", "there is no portfolio '" + id + "'");
        }
        if (Duration.between(time, portfolio.last).compareTo(LATENESS_MAX) > 0) {
            throw new Refused("too_old", time + " is over a day before the last event, " + portfolio.last);
        }
        return switch (type) {
            case "BuyStock" -> trade(command, id, portfolio, true);
            case "SellStock" -> trade(command, id, portfolio, false);
            case "DepositCash" -> deposit(command, id, portfolio);
            case "WithdrawCash" -> withdraw(command, id, portfolio);
            default -> throw new IllegalArgumentException(type);
        };
    }

    private GenericRecord open(GenericRecord command, String id, Portfolio portfolio) throws Refused {
        if (portfolio.last != null) {
            throw new Refused("already_open", "portfolio '" + id + "' is open already");
        }
        name("bad_id", "portfolio_id", id, 128);
        String owner = command.get("owner").toString();
        name("bad_owner", "owner", owner, 200);
        String currency = command.get("currency").toString();
        if (!(currency.length() == 3 && currency.chars().allMatch(c -> c < 128 && Character.isLetter(c)))) {
            throw new Refused("bad_currency", "currency must be three letters such as USD, not '" + currency + "'");
        }
        portfolio.margin = (Boolean) command.get("margin");
        GenericRecord event = codec.record(NAMESPACE + "PortfolioOpened");
        event.put("portfolio_id", command.get(0));
        event.put("owner", owner);
        event.put("currency", currency.toUpperCase(Locale.ROOT));
        event.put("margin", portfolio.margin);
        return event;
    }

    private GenericRecord deposit(GenericRecord command, String id, Portfolio portfolio) throws Refused {
        BigDecimal amount = positive(command.get("amount"), "amount");
        storable(portfolio.cash.add(amount), "cash");
        portfolio.cash = portfolio.cash.add(amount);
        return paid("CashDeposited", command, amount);
    }

    private GenericRecord withdraw(GenericRecord command, String id, Portfolio portfolio) throws Refused {
        BigDecimal amount = positive(command.get("amount"), "amount");
        payable(amount, portfolio);
        portfolio.cash = portfolio.cash.subtract(amount);
        return paid("CashWithdrawn", command, amount);
    }

    private GenericRecord paid(String type, GenericRecord command, BigDecimal amount) {
        GenericRecord event = codec.record(NAMESPACE + type);
        event.put("portfolio_id", command.get(0));
        event.put("amount", Codec.places(amount));
        return event;
    }

    private GenericRecord trade(GenericRecord command, String id, Portfolio portfolio, boolean buys) throws Refused {
        String symbol = command.get("symbol").toString();
        name("bad_symbol", "symbol", symbol, 32);
        if (symbol.indexOf(' ') >= 0) {
            throw new Refused("bad_symbol", "symbol must not hold spaces: '" + symbol + "'");
        }
        BigDecimal quantity = positive(command.get("quantity"), "quantity");
        BigDecimal price = positive(command.get("price"), "price");
        BigDecimal amount = Codec.places(quantity.multiply(price));
        if (amount.signum() == 0) {
            throw new Refused("not_positive", "quantity times price is 0 at 12 places");
        }
        storable(amount, "quantity times price");
        BigDecimal held = portfolio.held(symbol);
        if (buys) {
            payable(amount, portfolio);
        } else {
            if (quantity.compareTo(held) > 0 && !portfolio.margin) {
                throw new Refused("insufficient_shares", text(quantity) + " " + symbol + " to sell, " + text(held) + " held");
            }
            storable(portfolio.cash.add(amount), "cash");
        }
        BigDecimal bought = buys ? quantity : quantity.negate();
        storable(held.add(bought), "shares of " + symbol);
        if (portfolio.shares.size() >= 10_000 && !portfolio.shares.containsKey(symbol)) {
            throw new Refused("too_many_positions", "a portfolio has at most 10000 open positions");
        }
        portfolio.trade(symbol, bought, buys ? amount.negate() : amount);
        GenericRecord event = codec.record(NAMESPACE + (buys ? "StockBought" : "StockSold"));
        event.put("portfolio_id", command.get(0));
        event.put("symbol", command.get("symbol"));
        event.put("quantity", Codec.places(quantity));
        event.put("price", Codec.places(price));
        event.put("amount", amount);
        return event;
    }

    private static BigDecimal positive(Object written, String field) throws Refused {
        BigDecimal number = parse(written.toString(), field);
        if (number.signum() <= 0) {
            throw new Refused("not_positive", field + " must be above 0");
        }
        return number;
    }

    private static BigDecimal parse(String text, String field) throws Refused {
        BigDecimal number;
        try {
            number = new BigDecimal(text);
        } catch (NumberFormatException error) {
            if (text.equals("NaN")) {
                throw new Refused("not_a_number", field + " must be finite, not NaN");
            }
            throw new Refused("not_a_number", field + " is not a number: '" + text + "'");
        }
        if (number.precision() > 38 || number.precision() - number.scale() > 26) {
            throw new Refused("too_many_digits", field + " has more than 38 digits, 12 of them after the point");
        }
        if (number.scale() > 12 && number.stripTrailingZeros().scale() > 12) {
            throw new Refused("too_many_digits", field + " has more than 12 digits after the point");
        }
        return number;
    }

    private static void payable(BigDecimal amount, Portfolio portfolio) throws Refused {
        BigDecimal left = portfolio.cash.subtract(amount);
        if (left.signum() < 0 && !portfolio.margin) {
            throw new Refused("insufficient_cash", text(amount) + " to pay, " + text(portfolio.cash) + " in cash");
        }
        storable(left, "cash");
    }

    private static void storable(BigDecimal number, String what) throws Refused {
        if (number.abs().compareTo(LIMIT) >= 0) {
            throw new Refused("too_many_digits", what + " would have more than 26 digits before the point");
        }
    }

    private static void name(String code, String field, String name, int lengthMax) throws Refused {
        boolean good = !name.isEmpty() && name.length() <= lengthMax && name.charAt(0) != ' '
            && name.charAt(name.length() - 1) != ' ' && name.chars().noneMatch(Character::isISOControl);
        if (!good) {
            throw new Refused(code, field + " must be 1 to " + lengthMax + " printable characters, not '" + name + "'");
        }
    }

    private static String text(BigDecimal number) {
        return number.signum() == 0 ? "0" : number.stripTrailingZeros().toPlainString();
    }
}
