package onefact.bench;

import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.Stores;

/** Decides the commands of trading: ID BROKERS REGISTRY IN EVENTS REJECTIONS memory|rocksdb STATE_FOLDER CODE_VERSION. */
public final class Main {
    static final String STORE = "portfolios";

    public static void main(String[] args) throws Exception {
        String id = args[0];
        Codec codec = new Codec(args[2]);
        boolean inMemory = args[6].equals("memory");
        KeyValueBytesStoreSupplier supplier =
            inMemory ? Stores.inMemoryKeyValueStore(STORE) : Stores.persistentKeyValueStore(STORE);
        Topology topology = new Topology();
        topology.addSource("commands", new ByteArrayDeserializer(), new ByteArrayDeserializer(), args[3]);
        topology.addProcessor("decide", () -> new DecideProcessor(codec, args[8]), "commands");
        // Cached, so that the changelog gets one row a stream and commit, as the product's does.
        topology.addStateStore(
            Stores.keyValueStoreBuilder(supplier, Serdes.ByteArray(), new PortfolioSerde()).withCachingEnabled(), "decide");
        ByteArraySerializer bytes = new ByteArraySerializer();
        // The partition of the command: the same key and number of partitions, so nothing need be hashed again.
        topology.addSink("events", args[4], bytes, bytes, "decide");
        topology.addSink("rejections", args[5], bytes, bytes, "decide");
        KafkaStreams streams = new KafkaStreams(topology, config(id, args[1], args[7]));
        CountDownLatch stopped = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(java.time.Duration.ofSeconds(20));
            stopped.countDown();
        }));
        streams.start();
        stopped.await();
    }

    private static Properties config(String id, String brokers, String folder) {
        Properties config = new Properties();
        config.putAll(Map.of(
            StreamsConfig.APPLICATION_ID_CONFIG, id,
            StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            StreamsConfig.STATE_DIR_CONFIG, folder,
            StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2,
            StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1,
            StreamsConfig.REPLICATION_FACTOR_CONFIG, 1,
            // Tuned for throughput; see bench/README.md for what was tried.
            StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, Integer.getInteger("commit.ms", 100),
            StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, Long.getLong("cache.bytes", 64L << 20)));
        config.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, Integer.getInteger("buffered", 1000));
        config.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        // As the product's. Streams never leave their group: the next run waits until the session has ended.
        config.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 10_000);
        config.put(StreamsConfig.consumerPrefix("max.poll.records"), Integer.getInteger("poll.records", 4000));
        config.put(StreamsConfig.consumerPrefix("max.partition.fetch.bytes"), 4 << 20);
        config.put(StreamsConfig.producerPrefix("batch.size"), Integer.getInteger("batch.bytes", 256 << 10));
        config.put(StreamsConfig.producerPrefix("linger.ms"), Integer.getInteger("linger.ms", 100));
        config.put(StreamsConfig.producerPrefix("buffer.memory"), 128L << 20);
        return config;
    }
}
