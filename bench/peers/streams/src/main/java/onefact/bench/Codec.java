package onefact.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import org.apache.avro.Conversions;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/** Generic Avro in Confluent's wire format; schemas are fetched from the registry over HTTP, once each. */
final class Codec {
    private static final String NAMESPACE = "onefact.trading.";

    private final HttpClient http = HttpClient.newHttpClient();
    private final ObjectMapper json = new ObjectMapper();
    private final String registry;
    private final GenericData data = new GenericData();
    private final Map<Integer, GenericDatumReader<GenericRecord>> readers = new HashMap<>();
    private final Map<String, Type> types = new HashMap<>();
    private final ByteArrayOutputStream out = new ByteArrayOutputStream(256);
    private BinaryDecoder decoder;
    private BinaryEncoder encoder;

    /** A type of record that is written. */
    record Type(Schema schema, byte[] prefix, GenericDatumWriter<GenericRecord> writer) {}

    Codec(String registry) {
        this.registry = registry;
        data.addLogicalTypeConversion(new Conversions.DecimalConversion());
        data.setFastReaderEnabled(true);
    }

    GenericRecord decode(byte[] value) {
        ByteBuffer buffer = ByteBuffer.wrap(value);
        if (buffer.get() != 0) {
            throw new IllegalArgumentException("not in Confluent's wire format");
        }
        GenericDatumReader<GenericRecord> reader = readers.computeIfAbsent(buffer.getInt(), this::reader);
        try {
            decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, decoder);
            return reader.read(null, decoder);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    GenericRecord record(String type) {
        return new GenericData.Record(types.computeIfAbsent(type, this::type).schema());
    }

    byte[] encode(GenericRecord record) {
        Type type = types.get(record.getSchema().getFullName());
        out.reset();
        out.writeBytes(type.prefix());
        try {
            encoder = EncoderFactory.get().directBinaryEncoder(out, encoder);
            type.writer().write(record, encoder);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return out.toByteArray();
    }

    static BigDecimal places(BigDecimal number) {
        return number.setScale(12, java.math.RoundingMode.HALF_EVEN);
    }

    private GenericDatumReader<GenericRecord> reader(int id) {
        Schema schema = new Schema.Parser().parse(get("/schemas/ids/" + id).get("schema").toString());
        return new GenericDatumReader<>(schema, schema, data);
    }

    private Type type(String name) {
        Map<?, ?> found = get("/subjects/" + name + "/versions/latest");
        Schema schema = new Schema.Parser().parse(found.get("schema").toString());
        byte[] prefix = ByteBuffer.allocate(5).put((byte) 0).putInt((Integer) found.get("id")).array();
        return new Type(schema, prefix, new GenericDatumWriter<>(schema, data));
    }

    private Map<?, ?> get(String path) {
        try {
            HttpRequest request = HttpRequest.newBuilder(URI.create(registry + path)).build();
            HttpResponse<String> answer = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IllegalStateException(path + ": " + answer.statusCode() + " " + answer.body());
            }
            return json.readValue(answer.body(), Map.class);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }
}
