package onefact.bench;

import java.math.BigDecimal;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;

/** What decisions about a portfolio read, and its version; `shares` holds no zeros. */
final class Portfolio {
    long version;
    boolean margin;
    BigDecimal cash = BigDecimal.ZERO;
    Map<String, BigDecimal> shares = new HashMap<>();
    Instant last;

    BigDecimal held(String symbol) {
        return shares.getOrDefault(symbol, BigDecimal.ZERO);
    }

    void trade(String symbol, BigDecimal bought, BigDecimal paidIn) {
        BigDecimal quantity = held(symbol).add(bought);
        if (quantity.signum() == 0) {
            shares.remove(symbol);
        } else {
            shares.put(symbol, quantity);
        }
        cash = cash.add(paidIn);
    }
}
