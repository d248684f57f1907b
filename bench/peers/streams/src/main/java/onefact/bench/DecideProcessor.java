package onefact.bench;

import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** One read and one write of the portfolio per command, and one event, or a refusal, with the product's headers. */
final class DecideProcessor implements Processor<byte[], byte[], byte[], byte[]> {
    private static final byte[] SPEC_VERSION = bytes("1.0");
    private static final byte[] SOURCE = bytes("onefact/trading.decider");
    private static final byte[] REJECTED = bytes("CommandRejected");

    private final Codec codec;
    private final Decider decider;
    private final byte[] codeVersion;
    private final Map<String, byte[]> names = new HashMap<>();
    private ProcessorContext<byte[], byte[]> context;
    private KeyValueStore<byte[], Portfolio> portfolios;

    DecideProcessor(Codec codec, String codeVersion) {
        this.codec = codec;
        this.decider = new Decider(codec);
        this.codeVersion = bytes(codeVersion);
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        this.portfolios = context.getStateStore(Main.STORE);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        Headers in = record.headers();
        byte[] id = in.lastHeader("ce_id").value();
        byte[] time = in.lastHeader("ce_time").value();
        GenericRecord command = codec.decode(record.value());
        Portfolio portfolio = portfolios.get(record.key());
        if (portfolio == null) {
            portfolio = new Portfolio();
        }
        Instant at = Instant.parse(new String(time, StandardCharsets.US_ASCII));
        GenericRecord event;
        try {
            event = decider.decide(command, portfolio, at);
        } catch (Refused refused) {
            reject(record, command, refused, id, time);
            return;
        }
        portfolio.last = at;
        portfolio.version++;
        portfolios.put(record.key(), portfolio);
        byte[] version = bytes(Long.toString(portfolio.version));
        Headers out = headers(joined(record.key(), version), names.computeIfAbsent(event.getSchema().getName(), DecideProcessor::bytes), record, time);
        out.add("ce_sequence", version);
        out.add("ce_causationid", id);
        out.add("ce_correlationid", correlation(in, id));
        context.forward(new Record<>(record.key(), codec.encode(event), record.timestamp(), out), "events");
    }

    private void reject(Record<byte[], byte[]> record, GenericRecord command, Refused refused, byte[] id, byte[] time) {
        GenericRecord fact = codec.record("onefact.kernel.CommandRejected");
        fact.put("subject", command.get(0));
        fact.put("command_type", command.getSchema().getName());
        fact.put("code", refused.code);
        fact.put("reason", refused.getMessage());
        Headers out = headers(joined(id, bytes("rejected")), REJECTED, record, time);
        out.add("ce_causationid", id);
        out.add("ce_correlationid", correlation(record.headers(), id));
        context.forward(new Record<>(record.key(), codec.encode(fact), record.timestamp(), out), "rejections");
    }

    private Headers headers(byte[] id, byte[] type, Record<byte[], byte[]> record, byte[] time) {
        Headers out = new RecordHeaders();
        out.add("ce_specversion", SPEC_VERSION);
        out.add("ce_id", id);
        out.add("ce_source", SOURCE);
        out.add("ce_codeversion", codeVersion);
        out.add("ce_type", type);
        out.add("ce_subject", record.key());
        out.add("ce_time", time);
        return out;
    }

    private static byte[] correlation(Headers in, byte[] id) {
        var found = in.lastHeader("ce_correlationid");
        return found == null ? id : found.value();
    }

    private static byte[] joined(byte[] left, byte[] right) {
        byte[] both = new byte[left.length + 1 + right.length];
        System.arraycopy(left, 0, both, 0, left.length);
        both[left.length] = ':';
        System.arraycopy(right, 0, both, left.length + 1, right.length);
        return both;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }
}
