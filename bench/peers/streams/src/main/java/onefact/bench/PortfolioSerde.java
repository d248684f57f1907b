package onefact.bench;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Instant;
import java.util.Map;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serializer;

/** A portfolio as compact bytes, written by hand: quicker than any format that describes itself. */
final class PortfolioSerde implements Serde<Portfolio> {
    @Override
    public Serializer<Portfolio> serializer() {
        return (topic, portfolio) -> portfolio == null ? null : write(portfolio);
    }

    @Override
    public Deserializer<Portfolio> deserializer() {
        return (topic, bytes) -> bytes == null ? null : read(bytes);
    }

    private static byte[] write(Portfolio portfolio) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(128);
        DataOutputStream out = new DataOutputStream(bytes);
        try {
            out.writeLong(portfolio.version);
            out.writeBoolean(portfolio.margin);
            write(out, portfolio.cash);
            out.writeLong(portfolio.last.getEpochSecond());
            out.writeInt(portfolio.last.getNano());
            out.writeInt(portfolio.shares.size());
            for (Map.Entry<String, BigDecimal> each : portfolio.shares.entrySet()) {
                out.writeUTF(each.getKey());
                write(out, each.getValue());
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return bytes.toByteArray();
    }

    private static Portfolio read(byte[] bytes) {
        DataInputStream in = new DataInputStream(new ByteArrayInputStream(bytes));
        Portfolio portfolio = new Portfolio();
        try {
            portfolio.version = in.readLong();
            portfolio.margin = in.readBoolean();
            portfolio.cash = number(in);
            portfolio.last = Instant.ofEpochSecond(in.readLong(), in.readInt());
            for (int left = in.readInt(); left > 0; left--) {
                portfolio.shares.put(in.readUTF(), number(in));
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return portfolio;
    }

    private static void write(DataOutputStream out, BigDecimal number) throws IOException {
        byte[] unscaled = number.unscaledValue().toByteArray();
        out.writeByte(number.scale());
        out.writeByte(unscaled.length);
        out.write(unscaled);
    }

    private static BigDecimal number(DataInputStream in) throws IOException {
        int scale = in.readByte();
        return new BigDecimal(new BigInteger(in.readNBytes(in.readByte())), scale);
    }
}
